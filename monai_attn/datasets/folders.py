"""Scans and label maps in a folder, and the check that names are unique.

Hidden files are left out, since macOS puts one next to each file of an archive (`._a.nii.gz`). When scans
are listed, label maps that this package wrote are left out too: they have a manifest next to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monai_attn.io.dicom.files import holds_dicom
from monai_attn.io.names import LABELS, MAP, REFERENCES, case_name, manifest_path, suffix


def scans_in(folder: Path) -> list[Path]:
    """List the files of scans in a folder, and the folder itself and those in it that hold a DICOM series.

    Raises:
        ValueError: if there is no scan.
    """
    entries = visible(folder)
    scans = _scans(folder, entries)
    if scans:
        return scans
    raise ValueError(
        f"{folder}: no scan among {len(entries)} entries (expected files in NIfTI, NRRD, MetaImage or "
        "MGZ, or a DICOM series). Give the folder that holds them."
    )


def holds_scans(folder: Path) -> bool:
    """Check whether `scans_in` would find a scan."""
    return folder.is_dir() and bool(_scans(folder, visible(folder)))


def label_maps_in(folder: Path) -> list[Path]:
    """List the label maps in a folder.

    Raises:
        ValueError: if the folder holds no label map.
    """
    entries = visible(folder)
    files = [path for path in entries if suffix(path, REFERENCES) and not path.is_dir()]
    if not files:
        raise ValueError(
            f"{folder}: no label map among {len(entries)} entries (expected files in NIfTI, NRRD, MetaImage "
            "or MGZ). Give the folder that holds them."
        )
    return files


def by_name(names: Mapping[Path, str]) -> tuple[dict[str, Path], list[str]]:
    """Map case names to files, and return a line for each file that is not the first of its case."""
    by_case: dict[str, Path] = {}
    faults = []
    for path, name in names.items():
        first = by_case.setdefault(name, path)
        if first is not path:
            faults.append(
                f"{first} and {path}: both are case {name} (expected one file per case). Rename or "
                "remove one of them."
            )
    return by_case, faults


def image_files(entries: list[Path]) -> list[Path]:
    """Return those of a folder's entries that are files of scans, one for each pair."""
    scans = [path for path in entries if suffix(path) and not path.is_dir()]
    names = {path.name.lower() for path in scans}
    return [
        path
        for path in scans
        if not _is_own_output(path)
        and not (path.suffix.lower() == ".img" and f"{path.stem}.hdr".lower() in names)
    ]


def visible(folder: Path) -> list[Path]:
    """Return the entries of a folder that are not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if path.name[0] != ".")


def _scans(folder: Path, entries: list[Path]) -> list[Path]:
    series = [path for path in (folder, *entries) if path.is_dir() and holds_dicom(path)]
    return sorted([*image_files(entries), *series])


def _is_own_output(path: Path) -> bool:
    """Check whether a file is a label map that this package wrote, or a map next to one."""
    if not suffix(path, LABELS):
        return False
    names = [MAP.sub(end, case_name(path)) for end in ("_seg", "")]
    try:
        return any(manifest_path(path.with_name(f"{name}.nii")).exists() for name in names)
    except OSError:  # its name would be too long, so there is no manifest
        return False
