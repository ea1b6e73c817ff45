"""The facts of labelled cases, read one after the other, and the labels that are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from monai_attn.data.cases import Case
from monai_attn.data.errors import case_error
from monai_attn.data.grid import same_grid
from monai_attn.data.volume import read_volume
from monai_attn.evaluation import labels_of
from monai_attn.planning.fingerprint import CaseFacts, case_facts


def parse_classes(texts: Sequence[str]) -> dict[int, str]:
    """Label values and their names from texts such as "7=pancreas"; values of one name are one class.

    Raises:
        ValueError: if a text is none, or a value is named twice.
    """
    classes: dict[int, str] = {}
    for text in texts:
        found = re.fullmatch(r"\s*([0-9]+)\s*=\s*(\w[\w .-]*)", text)
        if not found or int(found[1]) < 1:
            raise ValueError(
                f"label (={text!r}) must be VALUE=NAME, such as 7=pancreas, VALUE from 1"
            )
        value = int(found[1])
        if value in classes:
            raise ValueError(
                f"label (={text!r}): {value} is {classes[value]} already; name it once"
            )
        classes[value] = found[2].strip()
    return classes


def read_cases(
    cases: Sequence[Case], values: Iterable[int] | None = None
) -> Iterator[CaseFacts | str]:
    """The facts of each case, or one line that says why it cannot be read.

    Args:
        cases: `{"image": ..., "label": ...}`, paths.
        values: labels whose HU are sampled; all above 0 by default.
    """
    values = None if values is None else list(values)
    for seed, case in enumerate(cases):
        try:
            yield _read(case, values, seed)
        except (ValueError, OSError) as error:
            named = case["label"] if case["label"] in str(error) else case["image"]
            yield case_error(Path(named), error)


def _read(case: Case, values: list[int] | None, seed: int) -> CaseFacts:
    image = read_volume(case["image"])
    label = read_volume(case["label"], fill=None)
    if image.shape != label.shape or not same_grid(image.shape, image.affine, label.affine):
        raise ValueError(
            f"{case['label']}: is not on the grid of {case['image']}; resample the label to it"
        )
    return case_facts(image.data, labels_of(label), image.affine, values=values, seed=seed)
