"""Data sets with a binary mask for each structure, as TotalSegmentator's: `CASE/segmentations/NAME.nii.gz`.

The mask of the structure that is chosen is the label map: its value 1 is that structure.
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


def mask_cases(source: Path, labels: Sequence[str]) -> list[Case]:
    """Pair each scan with its mask of one structure, sorted by folder.

    Args:
        source: a folder that `has_masks`.
        labels: the choice of classes: one, such as `1=pancreas`.

    Raises:
        ValueError: if not exactly one structure is chosen.
        Faults: a line for each case without one scan, or without the mask.
    """
    folders = [folder for folder in visible(source) if (folder / MASKS).is_dir()]
    name = labels[0].removeprefix("1=") if len(labels) == 1 else ""
    if not name or "=" in name or labels[0] == name:
        raise ValueError(
            f"{source}: has a mask for each structure (got {len(labels)} choices of classes, expected one, "
            "such as 1=pancreas). Choose one with --label 1=NAME, or merge several into one label map."
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
