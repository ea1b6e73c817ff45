"""What files are called: scans by their suffix, cases after their file, and what lies beside a label map."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

LABELS = (".nii.gz", ".nii")  # what a label map can be called
SCANS = (*LABELS, ".hdr", ".img")  # and a scan: one file, or a pair
LONGEST = 255  # bytes in a name, on nearly every file system
REPORT = "report.html"  # of a folder that label maps are written to
MAP = re.compile(r"_(attention_\d+|entropy)$")  # lies beside a label map, and is none


def suffix(path: str | Path, known: tuple[str, ...] = SCANS) -> str:
    """The end of a file's name that says what it is, as it is written there; or nothing."""
    name = Path(path).name
    for end in known:
        if name.lower().endswith(end) and len(name) > len(end):
            return name[-len(end) :]
    return ""


def case_name(path: str | Path) -> str:
    """What a scan or a label map is called: its file without the suffix, or its DICOM folder."""
    path = Path(path)
    end = suffix(path)
    if end:
        return path.name[: -len(end)]
    return path.resolve().name if path.name in ("", "..") else path.name


def check_name(path: str | Path) -> None:
    """Refuse a file that is no NIfTI by its name.

    Raises:
        ValueError: one line that names the file.
    """
    if Path(path).suffix.lower() in (".dcm", ".ima"):
        raise ValueError(f"{path}: one DICOM file; give the folder that holds the whole series")
    if not suffix(path):
        raise ValueError(f"{path}: a NIfTI file (.nii.gz or .nii) is expected; convert it first")


def labels_name(path: str | Path) -> str:
    """What a label map that is to be written is called, without the suffix.

    Raises:
        ValueError: if the name does not end in .nii.gz or .nii.
    """
    end = suffix(path, LABELS)
    if not end:
        raise ValueError(f"{path}: a label map ends in .nii.gz or .nii; give another name")
    return Path(path).name[: -len(end)]


def manifest_path(target: Path) -> Path:
    """Where the manifest of a label map lies: `NAME_seg.manifest.json` for `NAME_seg.nii.gz`."""
    return target.with_name(f"{labels_name(target)}.manifest.json")


def attention_path(target: Path, level: int) -> Path:
    """Where the attention of a level lies beside a label map: `NAME_attention_1.nii.gz`."""
    return _map_path(target, f"attention_{level}")


def entropy_path(target: Path) -> Path:
    """Where the entropy of the probabilities lies beside a label map: `NAME_entropy.nii.gz`."""
    return _map_path(target, "entropy")


def _map_path(target: Path, kind: str) -> Path:
    name = labels_name(target).removesuffix("_seg")
    return target.with_name(f"{name}_{kind}{suffix(target, LABELS)}")


def dicom_seg_path(target: Path) -> Path:
    """Where a label map lies as DICOM SEG: `NAME_seg.dcm` beside `NAME_seg.nii.gz`."""
    return target.with_name(f"{labels_name(target)}.dcm")


def real_path(path: Path) -> Path:
    """Where a path leads, links followed; a loop of links, unlike `Path.resolve`, is no error."""
    return Path(os.path.realpath(path))


def check_length(target: Path, levels: Iterable[int] = (), *, entropy: bool = False) -> None:
    """Refuse a label map whose name, or that of a file beside it, would be too long.

    Raises:
        ValueError: naming the longest.
    """
    beside = [attention_path(target, level) for level in levels]
    beside += [entropy_path(target)] if entropy else []
    files = (target, manifest_path(target), *beside)
    longest = max(files, key=lambda path: len(os.fsencode(path.name)))
    length = len(os.fsencode(longest.name))
    if length > LONGEST:
        raise ValueError(
            f"{target}: {longest.name[:20]}... would be a name of {length} bytes, and {LONGEST} are the "
            "most; rename the scan"
        )
