"""Names of cases, of which no two are alike: the file's, or the part of the path that differs.

In many collections the folder and not the file names the case: `s0001/ct.nii.gz` and `s0002/ct.nii.gz`, or
PATIENT/STUDY/SERIES of a DICOM export. The first are the cases `s0001` and `s0002`. Where several parts of
the path differ, they are joined by underscores.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from monai_attn.io.channels import Image, files_of
from monai_attn.io.dicom.series_path import folder_of
from monai_attn.io.names import case_name, labels_name

Parts = tuple[str, ...]  # of a path: the folders, then the scan's own name without the suffix


def scan_names(scans: Sequence[Image], root: Path | None = None) -> dict[Image, str]:
    """Name each scan.

    Args:
        scans: the scans; one whose channels are files of their own is named after the first.
        root: the folder in which they were found at any depth, if there is one. A scan is then named after
            its path from there. Without it, a scan is named after its file, unless two files have one name.

    Returns:
        The name of each scan. Two are the same only if their paths differ in nothing but the suffix.

    Example:
        >>> [*scan_names([Path("s1/ct.nii.gz"), Path("s2/ct.nii.gz")]).values()]
        ['s1', 's2']
    """
    own = {scan: case_name(files_of(scan)[0]) for scan in scans}
    if root is None and len(set(own.values())) == len(own):
        return own
    parts = {scan: _parts(files_of(scan)[0], root) for scan in own}
    if root is None and len(set(parts.values())) == 1:
        return own
    short = _differing(parts)
    names = {scan: "_".join(short[scan]) for scan in own}
    paths = Counter(name for _, name in {(parts[scan], name) for scan, name in names.items()})
    return {
        scan: name if paths[name] == 1 else f"{name}_{_digest(parts[scan])}"  # a_b/c and a/b_c
        for scan, name in names.items()
    }


def name_of_result(scan: Path, target: Path) -> str:
    """Return the name of a case that was segmented: that in `NAME_seg`, if it is from the scan's path.

    Args:
        scan: the scan.
        target: its label map, whose name may have been chosen at will.
    """
    name, own = labels_name(target).removesuffix("_seg"), case_name(scan)
    if folder_of(scan)[1]:  # its own name is a UID
        return name
    folders = scan.absolute().parts[1:-1]
    named_after_folder = any(f"_{folder}_" in f"_{name}_" for folder in folders)
    return name if named_after_folder else own


def _digest(parts: Parts) -> str:
    return sha256("/".join(parts).encode(errors="surrogateescape")).hexdigest()[:6]


def _parts(scan: Path, root: Path | None) -> Parts:
    path = _absolute(scan)
    if root is not None:
        path = path.relative_to(_absolute(root))
    return (*path.parts[:-1], case_name(scan))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links


def _differing(parts: Mapping[Image, Parts]) -> dict[Image, Parts]:
    """Leave out what all paths share: at the beginning, at the end, and between if all are equally deep."""
    rows = [*dict.fromkeys(parts.values())]
    if len(rows) == 1:
        return dict(parts)
    spare = min(map(len, rows)) - 1  # one part at least is left
    start = 0
    while start < spare and len({row[start] for row in rows}) == 1:
        start += 1
    end = 0
    while start + end < spare and len({row[-1 - end] for row in rows}) == 1:
        end += 1
    if len(set(map(len, rows))) == 1:
        differs = [
            place for place, column in enumerate(zip(*rows, strict=True)) if len(set(column)) > 1
        ]
        return {scan: tuple(row[place] for place in differs) for scan, row in parts.items()}
    return {scan: row[start : len(row) - end] for scan, row in parts.items()}
