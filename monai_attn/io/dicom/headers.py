"""Tags of each DICOM file, and the choice of the files that are slices of one CT series."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from monai_attn.io.dicom.files import CT_IMAGE, NATIVE, NO_IMAGE, DicomFile, list_files
from monai_attn.io.dicom.gdcm import packed_size, unreadable
from monai_attn.io.dicom.stderr_capture import captured_stderr
from monai_attn.io.dicom.tags import read_tags
from monai_attn.io.dicom.words import counted, plain
from monai_attn.io.errors import OptionError

ENHANCED = tuple(f"{CT_IMAGE}.{end}" for end in (1, 2))  # all slices in one file, or several
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # a picture, such as a dose report or a converted slice
KEYWORDS = (
    "Modality",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    # what tells series apart
    "ImageType",
    "PatientID",
    "StudyInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContrastBolusAgent",
)


@dataclass(frozen=True)
class Header:
    """Header of a file.

    Attributes:
        file: the file.
        tags: text of each tag that is there and not empty, by its keyword.
        voxel_bytes: size of the voxels in the file, if they are not compressed.
        packed_size: (columns, rows, frames) of compressed voxels, as their codec reports it; else empty.
    """

    file: DicomFile
    tags: dict[str, str]
    voxel_bytes: int = 0
    packed_size: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.file.name

    @property
    def series(self) -> str:
        """SeriesInstanceUID, or "unknown"."""
        return plain(self.tags.get("SeriesInstanceUID"), r"[0-9.]{1,64}")

    @property
    def modality(self) -> str:
        """Modality, or "unknown"."""
        return plain(self.tags.get("Modality"), r"[A-Z]{2,8}")


def series_headers(folder: Path) -> tuple[Header, ...]:
    """Read the headers of all DICOM files in a folder; those of an unchanged folder are read once.

    Raises:
        ValueError: as `list_files`, or if a file cannot be read.
    """
    return _headers_of(folder, _state(folder))


@lru_cache(
    maxsize=4
)  # a tree is indexed first, and a folder with several series is opened for each
def _headers_of(folder: Path, _: object) -> tuple[Header, ...]:
    return tuple(read_headers(folder, list_files(folder)))


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return the name, size and time of each file in a folder; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found))


def read_headers(folder: Path, files: Sequence[DicomFile]) -> list[Header]:
    """Read the headers of images, and only the modality of files that are no images."""
    with captured_stderr(any(file.syntax not in NATIVE for file in files)) as stderr:
        return [_read_header(folder, file, stderr) for file in files]


def choose(folder: Path, headers: Sequence[Header], series: str | None) -> list[Header]:
    """Return the headers of the only CT series, or of the series that is asked for.

    Raises:
        ValueError: one line that names the folder, if it holds no CT series, several, or not that series.
    """
    slices = [header for header in headers if is_slice(header)]
    if not slices:
        others = sorted({_described(header) for header in headers} - {"DICOMDIR"})
        raise ValueError(
            f"{folder}: no CT slices in this folder, only {', '.join(others)}; "
            "give a folder that holds a CT series"
        )
    counts = Counter(header.series for header in slices)
    listed = ", ".join(f"{uid} ({counted(n)})" for uid, n in sorted(counts.items()))
    if series is None and len(counts) > 1:
        raise OptionError(
            f"{folder}: {len(counts)} CT series, {listed}. Choose one with ",
            "series",
            "UID",
        )
    if series is not None and series not in counts:
        raise ValueError(f"{folder}: no CT series {series} in this folder; choose one of {listed}")
    return [header for header in slices if series in (None, header.series)]


def _read_header(folder: Path, file: DicomFile, stderr: Callable[[], bytes]) -> Header:
    for kind, modality in NO_IMAGE.items():
        if file.kind.startswith(kind):
            return Header(file, {"Modality": modality})
    try:
        tags, voxel_bytes = read_tags(file, KEYWORDS)
        size = () if file.syntax in NATIVE else packed_size(file, stderr)
    except (ValueError, RuntimeError) as error:
        if file.kind and not file.kind.startswith((CT_IMAGE, CAPTURE)):
            return Header(file, {})  # not an image, or not a CT
        raise unreadable(folder, file) from error
    if "Modality" not in tags and file.kind.startswith(CT_IMAGE):
        tags["Modality"] = "CT"
    return Header(file, tags, voxel_bytes, size)


def is_image(header: Header) -> bool:
    """Check whether a file is an image in space, unlike a report, a structure or a screenshot."""
    return not header.file.kind.startswith(tuple(NO_IMAGE)) and not _is_picture(header)


def is_slice(header: Header) -> bool:
    """Check whether a file is a slice of a CT."""
    return header.modality == "CT" and not _is_picture(header)


def _is_picture(header: Header) -> bool:
    """Check whether a file is a screenshot or a report that is stored with the slices as a CT."""
    return header.file.kind.startswith(CAPTURE) and "ImagePositionPatient" not in header.tags


def _described(header: Header) -> str:
    return header.modality + " pictures" * _is_picture(header)
