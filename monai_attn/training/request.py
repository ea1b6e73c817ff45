"""Options of a training, as the user asks for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """Options of a training; when it is resumed, only the number of epochs may differ.

    Attributes:
        bundle: name or folder of the bundle to train.
        data: the data set.
        labels: the choice of classes, as `choose_classes` takes it; empty for those of the bundle.
        fold: which of `folds` parts validates, from 0; without it the data set's own split or first fold
            counts, or else a part of `validation` is drawn.
        folds: number of parts; by default as many as the data set gives, or 5.
        validation: fraction of the cases that validates.
        group: a regular expression that finds the patient in a case's name.
        overlay: the bundle's overlay that it begins from, such as "hard"; none by default.
        recipe: a further overlay that says how it trains, such as "nnunet"; none by default.
        settings: config id to value.
        pretrained: bundle, run or file whose weights it starts from; none by default.
    """

    bundle: str
    data: str
    labels: tuple[str, ...] = ()
    fold: int | None = None
    folds: int | None = None
    validation: float = 0.2
    group: str | None = None
    overlay: str = ""
    recipe: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    pretrained: str | None = None
