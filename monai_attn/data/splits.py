"""Which cases train and which validate: by chance from a seed, in folds, or as a datalist gives them.

A split is `{"training": [...], "validation": [...]}`. Chance depends on the seed and on which cases there
are, and not on the order in which they were found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_attn.data.datalist import Case, check_listed, read_datalist
from monai_attn.data.errors import Faults
from monai_attn.data.files import written_whole
from monai_attn.data.layouts import find_layout
from monai_attn.data.names import real_path

PARTS = ("training", "validation")
Split = dict[str, list[Case]]


def split_cases(cases: Sequence[Case], *, validation: float = 0.2, seed: int = 0) -> Split:
    """Shuffle by the seed and keep a fraction (at least one case) for validation.

    Returns:
        The parts, each sorted by image.

    Raises:
        ValueError: if fewer than two cases are given, or `validation` is not between 0 and 1.
    """
    if len(cases) < 2:
        raise ValueError(
            f"cases (={len(cases)}) must be two or more: one part trains, one validates"
        )
    if not 0 < validation < 1:
        raise ValueError(f"validation (={validation}) must lie between 0 and 1")
    held_out = min(len(cases) - 1, max(1, round(validation * len(cases))))
    return _held_out(cases, _order(len(cases), seed)[:held_out])


def fold_cases(cases: Sequence[Case], *, folds: int = 5, fold: int = 0, seed: int = 0) -> Split:
    """One fold of a cross-validation: over all folds, each case validates once.

    Args:
        cases: as found.
        folds: into how many parts the cases are dealt; their sizes differ by one at most.
        fold: which part validates, from 0; the others train.
        seed: of the shuffle before, the same for all folds.

    Returns:
        The parts, each sorted by image.

    Raises:
        ValueError: if there are fewer cases than folds, fewer than two folds, or no such fold.

    Example:
        >>> cases = [{"image": f"{i}.nii", "label": f"{i}_seg.nii"} for i in range(4)]
        >>> sorted(
        ...     case["image"]
        ...     for fold in range(2)
        ...     for case in fold_cases(cases, folds=2, fold=fold)["validation"]
        ... )
        ['0.nii', '1.nii', '2.nii', '3.nii']
    """
    if not 2 <= folds <= len(cases):
        raise ValueError(
            f"folds (={folds}) must be 2 or more, and at most the {len(cases)} cases: "
            "each fold validates a case, and the others train"
        )
    if not 0 <= fold < folds:
        raise ValueError(f"fold (={fold}) must be 0 to {folds - 1}: there are {folds} folds")
    return _held_out(cases, _order(len(cases), seed)[fold::folds])


def write_split(path: str | Path, split: Split) -> Path:
    """Write a split as a JSON datalist with absolute paths, whole or not at all.

    Returns:
        The path written.
    """
    path = Path(path)
    content = {
        part: [
            {key: str(Path(file).absolute()) for key, file in case.items()} for case in split[part]
        ]
        for part in PARTS
    }
    with written_whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
    return path


def read_split(path: str | Path) -> Split:
    """The split that a JSON datalist holds.

    Raises:
        ValueError: if it does not have both parts, with labels.
        Faults: a line for each file that is missing, and each case of both parts.
    """
    split = given_split(path)
    if split is None:
        raise ValueError(
            f"{path}: gives no split; labelled cases in training and in validation expected: "
            "add them, or have the cases split"
        )
    return split


def given_split(source: str | Path) -> Split | None:
    """The split that a data set comes with: a datalist's sections `training` and `validation`.

    Returns:
        The split; or None where there is no datalist, or no labelled case in `validation`.

    Raises:
        ValueError: if the datalist cannot be read, or its labelled cases all validate.
        Faults: a line for each case without its label, file that is missing, and case of both parts.
    """
    path = Path(source)
    if find_layout(path) or (path.is_dir() and not (path / "dataset.json").is_file()):
        return None
    sections = read_datalist(path)
    split = {part: sections.get(part, []) for part in PARTS}
    labelled = {part: any("label" in case for case in cases) for part, cases in split.items()}
    if not labelled["validation"]:
        return None
    if not labelled["training"]:
        raise ValueError(
            f"{path}: its labelled cases all validate; some in training expected: move them there"
        )
    _check_apart(split, path)
    check_listed([case for cases in split.values() for case in cases], path)
    return split


def _order(count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).permutation(count).tolist()


def _held_out(cases: Sequence[Case], held_out: Sequence[int]) -> Split:
    """The cases at these places, in the order of their images, and the others."""
    ordered = sorted(cases, key=lambda case: (case["image"], case.get("label", "")))
    chosen = set(held_out)
    return {
        "training": [case for i, case in enumerate(ordered) if i not in chosen],
        "validation": [case for i, case in enumerate(ordered) if i in chosen],
    }


def _check_apart(split: Split, source: Path) -> None:
    """Refuse a case that trains and validates: its score would be too good."""
    training, validation = (
        {real_path(Path(case["image"])) for case in split[part]} for part in PARTS
    )
    both = sorted(training & validation)
    if both:
        raise Faults(
            *(
                f"{image}: is in training and in validation of {source}; one of them expected: "
                "take it out of the other"
                for image in both
            )
        )
