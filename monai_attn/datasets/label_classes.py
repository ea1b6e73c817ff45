"""Classes of the values in label files: as a data set declares them, and as the user chooses them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.datalist import read_json
from monai_attn.datasets.folder_layouts import is_nnunet
from monai_attn.datasets.regions import Regions

BACKGROUND = "background"
IGNORE = "ignore"  # nnU-Net's name for voxels that count nowhere
WHOLE = re.compile(r"-?[0-9]+")


@dataclass(frozen=True)
class LabelClasses:
    """Classes, and the class that each value in the label files becomes.

    Attributes:
        names: names of the classes, in the order of their numbers; the first is "background". Names of
            regions are in the order in which they are written.
        label_map: value in a file to class, for every value that occurs, is declared, or is a class number;
            with regions a value that lies in any region stays as it is.
        regions: the regions, if classes overlap.
    """

    names: tuple[str, ...]
    label_map: dict[int, int]
    regions: Regions | None = None

    @property
    def channels(self) -> int:
        """The number of a network's channels: one for each class, the background too, or for each region."""
        return len(self.names) if self.regions is None else len(self.regions.labels)

    @property
    def numbered(self) -> dict[int, str]:
        """The name of each label that is written, with the background."""
        labels = range(len(self.names)) if self.regions is None else (0, *self.regions.labels)
        return dict(zip(labels, self.names, strict=True))

    def values_of(self, label: int) -> tuple[int, ...]:
        """Return the values in label files that are a class, or lie in a region, given by its label."""
        if self.regions is not None:
            return self.regions.values[label]
        return tuple(value for value, number in self.label_map.items() if number == label)


def declared_labels(source: str | Path) -> dict[int, str]:
    """Read the names that a data set's `dataset.json` gives to the values in its label files.

    Args:
        source: a folder, or a JSON file. A Decathlon writes `{"1": "pancreas"}`, nnU-Net
            `{"pancreas": 1}`.

    Returns:
        Value to name, with the background if it is declared; empty if nothing is declared. The ignore
        value is no label: see `declared_ignore`. A value that only lies in regions of several values has no
        name of its own: see `declared_regions`.

    Raises:
        ValueError: if `labels` has neither form.
    """
    entries = [(values, name) for values, name in declarations(source) if name != IGNORE]
    labels = {value: f"label_{value}" for values, _ in entries for value in values}
    return labels | {values[0]: name for values, name in entries if len(values) == 1}


def declared_ignore(source: str | Path) -> int | None:
    """Read the value that a data set's `dataset.json` names "ignore", as nnU-Net does; None without one.

    Args:
        source: as for `declared_labels`.

    Raises:
        ValueError: as `declared_labels`, or if the value is the background or has another name too.
    """
    entries = declarations(source)
    given = next((values for values, name in entries if name == IGNORE), None)
    if given is None:
        return None
    if len(given) != 1:
        raise ValueError(
            f"{source}: the ignore label has several values (got {list(given)}, expected one). Correct "
            "dataset.json."
        )
    value = given[0]
    others = [name for values, name in entries if value in values and name != IGNORE]
    if value == 0 or others:
        raise ValueError(
            f"{source}: the ignore value {value} is also {(others or [BACKGROUND])[0]!r:.40} (expected "
            "a value of its own). Correct dataset.json."
        )
    return value


def declarations(source: str | Path) -> list[tuple[tuple[int, ...], str]]:
    """Read each declared name, with its value, or the values of nnU-Net's regions.

    Args:
        source: as for `declared_labels`.

    Raises:
        ValueError: as `declared_labels`.
    """
    path = Path(source)
    file = path / "dataset.json" if path.is_dir() else path
    if file.suffix != ".json" or not file.is_file():
        return []
    content = read_json(file)
    labels = content.get("labels") if isinstance(content, dict) else None
    if not labels:
        return []
    if not isinstance(labels, dict):
        raise ValueError(
            f"{file}: invalid labels (got {labels!r:.40}, expected names and values). Correct the file."
        )
    by_name = is_nnunet(content) or any(isinstance(value, list) for value in labels.values())
    pairs = [(v, n) if by_name else (n, v) for n, v in labels.items()]
    return [
        (
            tuple(dict.fromkeys(_declared(file, one, name) for one in value))
            if isinstance(value, list)
            else (_declared(file, value, name),),
            str(name),
        )
        for value, name in pairs
    ]


def choose_classes(
    chosen: Sequence[str],
    present: Collection[int],
    declared: Mapping[int, str],
    ignore: int | None = None,
) -> LabelClasses:
    """Number the classes to be learned from 1, in the order in which they are chosen.

    Args:
        chosen: each `VALUE=NAME`, a `VALUE` (named as declared, or `label_VALUE`), or a declared
            `NAME`. One name for several values makes them one class. If empty, every value above 0 that
            is present is a class.
        present: values in the label files. Those that are not chosen become background.
        declared: value to name, see `declared_labels`.
        ignore: value of voxels that count nowhere, if there is one. It is no class.

    Raises:
        ValueError: one line, if a choice is malformed or the background, or names the ignore value, a value
            that no file holds, or a value of another choice; or if there is no value above 0.

    Example:
        >>> choose_classes(["1=pancreas", "2=pancreas"], {0, 1, 2, 3}, {})
        LabelClasses(names=('background', 'pancreas'), label_map={0: 0, 1: 1, 2: 1, 3: 0}, regions=None)
    """
    above = sorted(value for value in present if value > 0 and value != ignore)
    if not above:
        raise ValueError(
            "no label map has a value above 0 (expected one or more). Label the scans."
        )
    names: dict[int, str] = {}
    for choice in chosen or map(str, above):
        for value, name in parse_choice(choice, declared).items():
            check_choice(choice, value, name, above, names, ignore)
            names[value] = name
    classes = [BACKGROUND, *dict.fromkeys(names.values())]
    # class numbers that no file holds as values are listed too: an unlisted value would keep its number
    values = sorted({0, *above, *declared, *range(len(classes))})
    label_map = {value: classes.index(names[value]) if value in names else 0 for value in values}
    return LabelClasses(tuple(classes), label_map)


def mapped_labels(
    num_classes: int, label_map: Mapping[str, int], regions: Regions | None = None
) -> dict[int, int]:
    """Map values in label files to classes, for all values that a bundle's config knows.

    Args:
        num_classes: number of classes with the background; each class number is also a value.
        label_map: the class of each other value.
        regions: the regions, if there are any: then each of their values is known instead.

    Example:
        >>> mapped_labels(2, {"7": 1})
        {0: 0, 1: 1, 7: 1}

    Raises:
        ValueError: if a class is not a whole number from 0.
    """
    given = {int(value): number for value, number in label_map.items()}
    if not all(isinstance(number, int) and number >= 0 for number in given.values()):
        raise ValueError(
            f"label_map (={label_map}) must map each value to a class, a whole number from 0"
        )
    own = range(num_classes) if regions is None else (0, *regions.known_values)
    return {number: number for number in own} | given


def in_classes(labels: NDArray[np.integer], classes: Mapping[int, int]) -> NDArray[np.integer]:
    """Return the class of each voxel; a value that is not in `classes` becomes background.

    Args:
        labels: values of any shape.
        classes: value to class, from 0 on.
    """
    kind = np.uint8 if max(classes.values(), default=0) < 256 else np.int32
    mapped = np.zeros_like(labels, kind)
    for value, number in classes.items():
        mapped[labels == value] = number
    return mapped


def parse_choice(choice: str, declared: Mapping[int, str]) -> dict[int, str]:
    """Parse one choice, as for `choose_classes`, into values and their name."""
    value, equals, name = (part.strip() for part in choice.partition("="))
    if WHOLE.fullmatch(value):
        number = int(value)
        return {number: name if equals else declared.get(number, f"label_{number}")}
    named = {number: given for number, given in declared.items() if given == value and not equals}
    if named:
        return named
    names = ", ".join(f"{number}={given}" for number, given in declared.items()) or "none"
    raise ValueError(
        f"label {choice!r}: neither VALUE=NAME nor a declared name (declared: {names}). Write it like "
        "7=pancreas."
    )


def check_choice(
    choice: str,
    value: int,
    name: str,
    above: Sequence[int],
    names: Mapping[int, str],
    ignore: int | None = None,
) -> None:
    """Refuse a choice, as `choose_classes` does.

    Args:
        choice: the choice, named in the error.
        value: its value.
        name: its name.
        above: the values above 0 in the label files.
        names: the names of the values chosen so far.
        ignore: the ignore value, if there is one.
    """
    if value == ignore:
        raise ValueError(
            f"label {choice!r}: {value} is the ignore value, which cannot be a class (expected "
            f"one of {', '.join(map(str, above[:20]))}). Leave out this choice."
        )
    if value <= 0:
        raise ValueError(
            f"label {choice!r}: invalid value (got {value}, expected 1 or more). Choose another."
        )
    if not name or name.casefold() == BACKGROUND:
        raise ValueError(
            f"label {choice!r}: invalid name (got {name!r}, expected that of a structure). Choose one."
        )
    if value not in above:
        raise ValueError(
            f"label {choice!r}: no label map has this value (got {value}, expected one of "
            f"{', '.join(map(str, above[:20]))}). Choose another value."
        )
    if names.get(value, name) != name:
        raise ValueError(
            f"label {choice!r}: {value} is already {names[value]} (expected one name per value). "
            "Leave one out."
        )


def _declared(file: Path, value: Any, name: Any) -> int:
    """Check that a declared value is one whole number from 0, and return it."""
    if isinstance(value, (int, str)) and WHOLE.fullmatch(str(value)) and int(value) >= 0:
        return int(value)
    raise ValueError(
        f"{file}: label {name!r:.40} has an invalid value (got {value!r:.40}, expected a whole number "
        "from 0). Correct the file."
    )
