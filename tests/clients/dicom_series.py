"""A phantom as a DICOM series, for the clients that read DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_attn.phantom import abdominal_phantom
from tests.dicoms import series

COMPLETE = {  # with all that the standard asks of a CT, which some programs rely on
    "PatientBirthDate": "",
    "PatientSex": "O",
    "StudyDate": "20200131",
    "StudyTime": "120000",
    "StudyID": "1",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "SeriesNumber": 1,
    "InstanceNumber": 1,
    "AcquisitionNumber": 1,
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "KVP": "120",
    "Manufacturer": "phantom",
    "PatientPosition": "HFS",
    "PositionReferenceIndicator": "",
    "Laterality": "",
}
ANONYMISED = dict.fromkeys(("SOPClassUID", "PatientID", "PatientName", "SliceThickness"))


def write_series(
    folder: Path,
    number: int = 3,
    *,
    shape: tuple[int, int, int] = (56, 48, 28),
    spacing: float = 7,
    **tags: object,
) -> Path:
    """Write a phantom as a DICOM series, and return its folder.

    Args:
        folder: the folder.
        number: number of the phantom.
        shape: (X, Y, Z) voxels.
        spacing: mm between voxels, along each axis.
        tags: attributes to set; None leaves one out.
    """
    phantom = abdominal_phantom(number, shape=shape, spacing=(spacing,) * 3)
    stored = np.rint(phantom.image[::-1, ::-1].T).astype(np.int16) + 1024  # rows grow to the back
    positions = [(-190, -160, spacing * k) for k in range(shape[2])]
    lengths = {"PixelSpacing": [spacing, spacing], "SliceThickness": spacing}
    series(folder, positions, stored, **{**lengths, **tags})
    return folder
