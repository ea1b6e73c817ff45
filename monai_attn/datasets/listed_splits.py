"""Splits into training and validation that a datalist holds: read, checked and written.

A split is `{"training": [...], "validation": [...]}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_attn.datasets.datalist import SPLIT_KEYS, Case, check_listed, read_datalist
from monai_attn.datasets.folder_layouts import find_layout
from monai_attn.datasets.groups import check_sides, group_by_name
from monai_attn.datasets.scan_names import scan_names
from monai_attn.io.channels import Image, as_image, files_of
from monai_attn.io.errors import Faults
from monai_attn.io.files import atomic_write
from monai_attn.io.names import real_path

PARTS = ("training", "validation")
Split = dict[str, list[Case]]


def write_split(path: str | Path, split: Split) -> Path:
    """Write a split as a JSON datalist with absolute paths, whole or not at all.

    Returns:
        The path written.
    """
    path = Path(path)
    content = {
        part: [{key: _absolute(files) for key, files in case.items()} for case in split[part]]
        for part in PARTS
    }
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
    return path


def _absolute(files: Any) -> str | list[str]:
    paths = [str(file.absolute()) for file in files_of(files)]
    return paths if isinstance(files, (list, tuple)) else paths[0]


def read_split(path: str | Path) -> Split:
    """Read the split that a JSON datalist holds.

    Raises:
        ValueError: if it does not have both parts, with labels.
        Faults: a line for each file that is missing, and each case that is in both parts.
    """
    split = _listed_split(Path(path))
    if split is None:
        raise ValueError(
            f"{path}: no split (expected labelled cases in training and in validation). Add them, or "
            "let the training choose the split."
        )
    return without_split_keys(split)


def names_in_split(split: Split) -> dict[Image, str]:
    """Return the name of each image: unique among the cases of all parts, so that folds agree on it."""
    return scan_names([as_image(case["image"]) for part in PARTS for case in split[part]])


def given_split(source: str | Path, *, group: str | None = None) -> Split | None:
    """Read the split that a data set comes with: a datalist's sections `training` and `validation`.

    Args:
        source: as for `find_cases`.
        group: a regular expression that finds the patient in a case's name.

    Returns:
        The split; None if there is no datalist, or no labelled case in `validation`.

    Raises:
        ValueError: if the datalist cannot be read, or its labelled cases all validate.
        Faults: a line for each case without a label, file that is missing, and case or patient that is in
            both parts.
    """
    split = _listed_split(Path(source))
    if split is None:
        return None
    cases = [case for part in PARTS for case in split[part]]
    if any("fold" in case for case in cases):
        raise ValueError(
            f"{source}: has folds and a section validation (expected one of them). Remove one."
        )
    if group is not None:
        cases = group_by_name(cases, group)
    check_sides(cases, [part for part in PARTS for _ in split[part]])
    return without_split_keys(split)


def _listed_split(path: Path) -> Split | None:
    """Read the split of a datalist's sections, with all keys of each case."""
    if find_layout(path) or (path.is_dir() and not (path / "dataset.json").is_file()):
        return None
    sections = read_datalist(path)
    split = {part: sections.get(part, []) for part in PARTS}
    labelled = {part: any("label" in case for case in cases) for part, cases in split.items()}
    if not labelled["validation"]:
        return None
    if not labelled["training"]:
        raise ValueError(
            f"{path}: all labelled cases are in validation (expected some in training). Move some there."
        )
    _check_apart(split, path)
    check_listed([case for cases in split.values() for case in cases], path)
    return split


def _check_apart(split: Split, source: Path) -> None:
    """Refuse a case that trains and validates: its score would be too good."""
    training, validation = (
        {real_path(file) for case in split[part] for file in files_of(case["image"])}
        for part in PARTS
    )
    both = sorted(training & validation)
    if both:
        raise Faults(
            *(
                f"{image}: is in training and in validation of {source} (expected one of them). Remove "
                "it from one."
                for image in both
            )
        )


def without_split_keys(split: Split) -> Split:
    """Remove the keys that made the split: transforms and `split.json` need only the files."""
    return {
        part: [{key: case[key] for key in case if key not in SPLIT_KEYS} for case in cases]
        for part, cases in split.items()
    }
