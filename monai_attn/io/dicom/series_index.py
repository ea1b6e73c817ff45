"""Index of the series in a folder of DICOM files: which they are, from the headers only.

A folder with one series of images stands for it. Where a folder holds several, each has the path
FOLDER/UID, whose last part is its SeriesInstanceUID, although there is no such file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from monai_attn.io.dicom.headers import Header, is_image, is_slice, series_headers
from monai_attn.io.dicom.slices import check_alike, check_length, check_slice
from monai_attn.io.dicom.stack import stack_slices
from monai_attn.io.dicom.words import numbers_of

STEEP = (
    0.8  # cosine between the normal of slices and an axis of the patient, to be called by its name
)
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Series:
    """A series of images.

    Attributes:
        path: the folder, or FOLDER/UID.
        uid: SeriesInstanceUID.
        modality: such as "CT".
        patient: PatientID; it may be a name, so it is not part of `repr`.
        study: StudyInstanceUID.
        description: SeriesDescription; free text, as above.
        number: SeriesNumber, if it is a whole number.
        acquired: date and time of the acquisition as digits, comparable as text.
        slices: the number of images.
        spacing: usual distance of the slices in mm; 0 if all lie at one position.
        plane: "axial", "coronal", "sagittal" or "oblique".
        localizer: whether the images are overviews to plan a scan.
        derived: whether the images were computed from others.
        contrast: whether a contrast agent is recorded.
        fault: one line that names the folder, if the slices make no volume; else empty.
    """

    path: Path
    uid: str
    modality: str
    patient: str = field(repr=False)
    study: str
    description: str = field(repr=False)
    number: int | None
    acquired: str
    slices: int
    spacing: float
    plane: str
    localizer: bool
    derived: bool
    contrast: bool
    fault: str


def index_series(folder: Path) -> list[Series]:
    """List the series of images in a folder, without those in folders below it, by UID.

    Raises:
        ValueError: one line that names the folder, if a file in it cannot be read.
    """
    by_uid: dict[str, list[Header]] = {}
    for header in series_headers(folder):
        if is_image(header):
            by_uid.setdefault(header.series, []).append(header)
    several = len(by_uid) > 1
    return [
        _series(folder, folder / uid if several else folder, uid, headers)
        for uid, headers in sorted(by_uid.items())
    ]


def _series(folder: Path, path: Path, uid: str, headers: Sequence[Header]) -> Series:
    tags = headers[0].tags
    kinds = tags.get("ImageType", "").upper().split("\\")
    number = tags.get("SeriesNumber", "")
    plane, spacing = _geometry(headers)
    return Series(
        path,
        uid,
        headers[0].modality,
        tags.get("PatientID", ""),
        tags.get("StudyInstanceUID", ""),
        tags.get("SeriesDescription", ""),
        int(number) if re.fullmatch(r"[0-9]{1,9}", number) else None,
        re.sub("[^0-9]", "", tags.get("AcquisitionDate", "") + tags.get("AcquisitionTime", "")[:6]),
        len(headers),
        spacing,
        plane,
        "LOCALIZER" in kinds,
        kinds[0] == "DERIVED",
        bool(tags.get("ContrastBolusAgent")),
        _fault(folder, headers),
    )


def _geometry(headers: Sequence[Header]) -> tuple[str, float]:
    """Return the plane of the slices, and their usual distance in mm."""
    directions = numbers_of(headers[0].tags.get("ImageOrientationPatient", ""))
    if len(directions) != 6 or not np.isfinite(directions).all():
        return "oblique", 0.0
    normal = np.cross(directions[:3], directions[3:])
    axis = int(np.abs(normal).argmax())
    plane = PLANES[axis] if abs(normal[axis]) > STEEP else "oblique"
    positions = [numbers_of(one.tags.get("ImagePositionPatient", "")) for one in headers]
    along = sorted(float(np.dot(one, normal)) for one in positions if len(one) == 3)
    gaps = [gap for gap in np.diff(along) if gap > 0.01]
    return plane, float(median(gaps)) if gaps else 0.0


def _fault(folder: Path, headers: Sequence[Header]) -> str:
    """Return why the slices of a CT make no volume, as far as headers tell; else an empty text."""
    try:
        slices = [check_slice(folder, header) for header in headers if is_slice(header)]
        if slices:
            check_alike(folder, slices)
            for one in slices:
                check_length(folder, one)
            stack_slices(folder, slices)
    except ValueError as error:
        return str(error)
    return ""
