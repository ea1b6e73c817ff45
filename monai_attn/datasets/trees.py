"""Scans in a folder tree, as TotalSegmentator's data set and the exports of a PACS are.

A scan is a file or a folder that holds a DICOM series, at any depth. Label maps are left out: those in a
folder below with a name such as `segmentations` or `labelsTr`, those named `segmentation.nii.gz` or
`CASE_seg.nii.gz` that lie beside a scan, and those that this package wrote.
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_attn.datasets.folders import image_files, scans_in, visible
from monai_attn.io.dicom.files import holds_dicom
from monai_attn.io.names import case_name, real_path

LABEL_WORD = r"(seg|segs|segmentations?|labels?|masks?|annotations?|ground_?truth|gt|predictions?)"
LABEL_FOLDER = re.compile(rf"{LABEL_WORD}(t[rs])?", re.IGNORECASE)
LABEL_FILE = re.compile(rf"(?:(.+)[-_. ])?{LABEL_WORD}([-_. ]?\d+)?", re.IGNORECASE)


def scans_below(root: Path) -> list[Path]:
    """List the scans in a folder and in all folders below it, sorted.

    Hidden folders are left out, and a folder that is reached a second time by a link.

    Raises:
        ValueError: if there is no scan, or a folder cannot be read.
    """
    scans: list[Path] = []
    folders, reached = [root], {real_path(root)}
    while folders:
        folder = folders.pop()
        try:
            entries = visible(folder)
        except OSError as error:
            raise ValueError(
                f"{folder}: cannot be read ({error.strerror}). Make it readable, or move it away."
            ) from error
        scans += _without_label_maps(image_files(entries), everywhere=folder != root)
        if holds_dicom(folder):
            scans.append(folder)
        for entry in entries:
            if entry.is_dir() and not _left_out(entry) and real_path(entry) not in reached:
                reached.add(real_path(entry))
                folders.append(entry)
    return sorted(scans) or scans_in(root)  # which says that there is none


def _left_out(folder: Path) -> bool:
    return folder.name == "__MACOSX" or bool(LABEL_FOLDER.fullmatch(folder.name))


def _without_label_maps(files: list[Path], everywhere: bool) -> list[Path]:
    """Leave out label maps by their names, if a scan lies beside them.

    Args:
        files: those of one folder.
        everywhere: leave out any such name, as in a folder of one case; else only `CASE_seg` beside `CASE`.
    """
    label_maps = {path: match for path in files if (match := LABEL_FILE.fullmatch(case_name(path)))}
    scans = {case_name(path) for path in files if path not in label_maps}
    if not scans:
        return files
    return [
        path
        for path in files
        if path not in label_maps or not (everywhere or label_maps[path][1] in scans)
    ]
