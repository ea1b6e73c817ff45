"""Names that a data set declares for its label values, compared with a bundle's classes of these values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.io.errors import Faults, OptionError

# Parts that a bundle may count to their organ: Decathlon's pancreas task labels the cancer apart.
LESIONS = ("cancer", "tumour", "tumor", "lesion", "cyst", "mass")


def check_names(
    source: str | Path, declared: Mapping[int, str], classes: LabelClasses
) -> tuple[str, ...]:
    """Refuse a data set whose names for label values contradict a bundle's classes.

    Without a choice of classes a training takes each value for the bundle's class of it: with `liver` as 1 it
    would train a network for the pancreas on livers. Case, spaces and signs do not matter; a value that the
    bundle does not know or counts to the background is not compared.

    Args:
        source: the data set, for the messages.
        declared: value to name, see `declared_labels`.
        classes: classes of the bundle.

    Returns:
        A line for each lesion that counts to its organ.

    Raises:
        Faults: a line for each contradicting name.

    Example:
        >>> bundle = LabelClasses(("background", "pancreas"), {0: 0, 1: 1, 2: 1})
        >>> check_names("DATA", {1: "Pancreas"}, bundle)
        ()
    """
    file = _file(source)
    names = _names(classes)
    faults, doubts = [], []
    for value, name in declared.items():
        number = classes.label_map.get(value, 0)
        expected = names.get(number, "")
        if not number or not expected or _plain(name) == _plain(expected):
            continue
        if value != number and _plain(name).endswith(LESIONS):
            doubts.append(
                f"{file}: value {value} is {name!r:.40}, and counts as {expected!r:.40}. Choose the classes "
                "to keep them apart."
            )
            continue
        faults.append(
            OptionError(
                f"{file}: value {value} is {name!r:.40}, but {expected!r:.40} in the bundle (expected one "
                "name). Choose the classes, such as ",
                "label",
                f"{value}={_plain(name, '_')}",
            )
        )
    if faults:
        raise Faults(*faults)
    return tuple(doubts)


def _names(classes: LabelClasses) -> dict[int, str]:
    """Return the name of each class, by its number; of regions only that of a region with one value."""
    if classes.regions is None:
        return dict(enumerate(classes.names))
    single = [label for label, values in classes.regions.values.items() if len(values) == 1]
    return {label: classes.numbered[label] for label in single}


def _file(source: str | Path) -> Path:
    path = Path(source)
    return path / "dataset.json" if path.is_dir() else path


def _plain(name: str, between: str = "") -> str:
    """Return a name without case, spaces and signs, or with a letter in their places."""
    return re.sub(r"[\W_]+", between, name.strip()).casefold()
