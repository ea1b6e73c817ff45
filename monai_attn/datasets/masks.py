"""Data sets with a binary mask for each structure, as TotalSegmentator's: `CASE/segmentations/NAME.nii.gz`.

The mask of the structure that is chosen is the label map: its value 1 is that structure. So the choices
`1=pancreas` and `pancreas` mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_attn.datasets.datalist import Case
from monai_attn.datasets.folders import image_files, visible
from monai_attn.io.errors import Faults
from monai_attn.io.names import LABELS, case_name, suffix

MASKS = "segmentations"  # the folder of the masks, next to the scan


def has_masks(source: Path) -> bool:
    """Check whether a folder holds cases with a mask for each structure."""
    return source.is_dir() and any((folder / MASKS).is_dir() for folder in source.iterdir())


def mask_choices(source: str | Path, labels: Sequence[str]) -> list[str]:
    """Return a choice of classes with the value of each, where a mask's name alone was given.

    Args:
        source: any data set.
        labels: the choice. A bare name, such as `pancreas`, is 1=pancreas if `source` has masks.
    """
    if len(labels) == 1 and _is_bare(labels[0]) and uses_masks(Path(source)):
        return [f"1={labels[0].strip()}"]
    return [*labels]


def uses_masks(source: Path) -> bool:
    """Check whether a data set's label maps are masks: a `dataset.json` would list others."""
    return has_masks(source) and not (source / "dataset.json").is_file()


def structure_of(labels: Sequence[str]) -> str:
    """Return the name of the one structure that is chosen; an empty text if it is none, or several."""
    if len(labels) != 1:
        return ""
    if _is_bare(labels[0]):
        return labels[0].strip()
    value, _, name = labels[0].partition("=")
    return name.strip() if value.strip() == "1" else ""


def _is_bare(choice: str) -> bool:
    return "=" not in choice and not choice.strip().isdecimal() and bool(choice.strip())


def mask_cases(source: Path, labels: Sequence[str]) -> list[Case]:
    """Pair each scan with its mask of one structure, sorted by folder.

    Args:
        source: a folder that `has_masks`.
        labels: the choice of classes: one, such as `1=pancreas` or `pancreas`.

    Raises:
        ValueError: if not exactly one structure is chosen.
        Faults: a line for each case without one scan, or without the mask.
    """
    folders = [folder for folder in visible(source) if (folder / MASKS).is_dir()]
    name = structure_of(labels)
    if not name:
        raise ValueError(
            f"{source}: has a mask for each structure (got {len(labels)} choices of classes, expected one, "
            "such as 1=pancreas). Choose one with --label 1=NAME, or merge several with monai-attn "
            "merge-masks."
        )
    cases, faults = [], []
    for folder in folders:
        scans = image_files([path for path in visible(folder) if path.is_file()])
        masks = [
            path
            for path in visible(folder / MASKS)
            if suffix(path, LABELS) and case_name(path) == name
        ]
        if len(scans) != 1:
            faults.append(
                f"{folder}: holds {len(scans)} scans next to {MASKS} (expected one). Correct it."
            )
        elif len(masks) != 1:
            faults.append(
                f"{folder / MASKS}: has {len(masks)} masks of {name} (expected one, {name}.nii.gz). Add "
                "it, remove the case, or correct the choice."
            )
        else:
            cases.append({"image": str(scans[0]), "label": str(masks[0])})
    if faults:
        raise Faults(*faults)
    return cases
