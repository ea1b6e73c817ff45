"""Scans in a folder tree, as TotalSegmentator's data set and the exports of a PACS are.

A scan is a file or a DICOM series, at any depth. Of the series of a study one is chosen, see
`series_choice`. Label maps are left out: those in a folder below with a name such as `segmentations` or
`labelsTr`, those named `segmentation.nii.gz` or `CASE_seg.nii.gz` that lie beside a scan, and those that this
package wrote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monai_attn.datasets.folders import image_files, scans_in, visible
from monai_attn.datasets.series_choice import choose_series, may_be_scan
from monai_attn.datasets.series_names import pseudonym
from monai_attn.io.dicom.files import holds_dicom
from monai_attn.io.dicom.series_path import folder_of
from monai_attn.io.errors import warn_of
from monai_attn.io.names import case_name, real_path

if TYPE_CHECKING:
    from monai_attn.io.dicom.series_index import Series

ALL = "all"  # instead of a SeriesInstanceUID: every series that may be a scan
LABEL_WORD = r"(seg|segs|segmentations?|labels?|masks?|annotations?|ground_?truth|gt|predictions?)"
LABEL_FOLDER = re.compile(rf"{LABEL_WORD}(t[rs])?", re.IGNORECASE)
LABEL_FILE = re.compile(rf"(?:(.+)[-_. ])?{LABEL_WORD}([-_. ]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class FoundScan:
    """A scan in a folder tree.

    Attributes:
        path: the file, the folder of a DICOM series, or FOLDER/UID.
        place: the path by which the scan is named: the same, but for a series of a folder with several.
        series: what is known of a DICOM series from its headers, if they can be read.
    """

    path: Path
    place: Path
    series: Series | None = None


def scans_below(root: Path, series: str | None = None) -> list[FoundScan]:
    """List the scans in a folder and in all folders below it, sorted by path.

    Hidden folders are left out, and a folder that is reached a second time by a link. A `ScanWarning` for
    each study says which of its series were left out.

    Args:
        root: the folder.
        series: a SeriesInstanceUID, to list only that series; or "all", to list all that may be scans.

    Raises:
        ValueError: if there is no scan, a folder cannot be read, or there is no such series.
    """
    files: list[Path] = []
    unreadable: list[Path] = []
    indexed: list[Series] = []
    folders, reached = [root], {real_path(root)}
    while folders:
        folder = folders.pop()
        try:
            entries = visible(folder)
        except OSError as error:
            raise ValueError(
                f"{folder}: cannot be read ({error.strerror}). Make it readable, or move it away."
            ) from error
        files += _without_label_maps(image_files(entries), everywhere=folder != root)
        if holds_dicom(folder):
            try:
                indexed += _indexed(folder)
            except ValueError:  # its own fault, which is named when it is opened
                unreadable.append(folder)
        for entry in entries:
            if entry.is_dir() and not _left_out(entry) and real_path(entry) not in reached:
                reached.add(real_path(entry))
                folders.append(entry)
    indexed.sort(key=lambda one: one.path)
    found = _chosen(indexed, series)
    if series not in (None, ALL):
        if not found and not unreadable:
            listed = ", ".join(sorted({one.uid for one in indexed})) or "none"
            raise ValueError(f"{root}: no series {series} (got {listed}). Choose another one.")
        files = []
    scans = [FoundScan(path, path) for path in (*files, *unreadable)] + _placed(found)
    if not scans:
        scans = [FoundScan(path, path) for path in scans_in(root)]  # which says that there is none
    return sorted(scans, key=lambda scan: scan.path)


def _indexed(folder: Path) -> list[Series]:
    from monai_attn.io.dicom.series_index import index_series  # SimpleITK: late, as most are NIfTI

    return index_series(folder)


def _chosen(indexed: Sequence[Series], series: str | None) -> list[Series]:
    """Return the series to segment: one of each study, all that may be scans, or the one that is named."""
    if series == ALL:
        return [one for one in indexed if may_be_scan(one)] or [*indexed]
    if series is not None:
        return [one for one in indexed if one.uid == series]
    chosen, lines = choose_series(indexed)
    if not chosen:  # each is refused with its reason
        return [*indexed]
    warn_of(lines)
    return chosen


def _placed(series: Sequence[Series]) -> list[FoundScan]:
    """Give each series its place: its folder, or a pseudonym in the folder if others of it are listed too."""
    counts = Counter(folder_of(one.path)[0] for one in series)
    scans = []
    for one in series:
        folder, uid = folder_of(one.path)
        place = folder if counts[folder] == 1 else folder / pseudonym(one)
        scans.append(FoundScan(one.path, place if uid else one.path, one))
    return scans


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
