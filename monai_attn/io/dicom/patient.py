"""Digests of the PatientID, by which patients of DICOM series are compared without naming them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from monai_attn.io.dicom.files import CT_IMAGE, list_files
from monai_attn.io.dicom.tags import read_tags


def patient_digest(folder: Path) -> str | None:
    """Return a digest of the PatientID in a folder's first CT slice.

    Returns:
        Hexadecimal digits; None if the slice has no PatientID or cannot be read: it is then refused when
        its voxels are read.
    """
    try:
        file = min(list_files(folder), key=lambda file: not file.kind.startswith(CT_IMAGE))
        tags, _ = read_tags(file, ["PatientID"])
    except ValueError:
        return None
    patient = tags.get("PatientID")
    return sha256(patient.encode()).hexdigest() if patient else None
