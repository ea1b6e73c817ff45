"""Digests of the PatientID, by which patients of DICOM series are compared without naming them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from monai_attn.io.dicom.files import DicomFile, list_files
from monai_attn.io.dicom.gdcm import NATIVE, reader_of
from monai_attn.io.dicom.headers import CT_IMAGE
from monai_attn.io.dicom.stderr_capture import captured_stderr

PATIENT = "0010|0020"


def patient_digest(folder: Path) -> str | None:
    """Return a digest of the PatientID in a folder's first CT slice.

    Returns:
        Hexadecimal digits; None if the slice has no PatientID or cannot be read: it is then refused when
        its voxels are read.
    """
    try:
        file = min(list_files(folder), key=lambda file: not file.kind.startswith(CT_IMAGE))
        patient = _patient(file)
    except (ValueError, RuntimeError):
        return None
    return sha256(patient.encode("utf-8", "replace")).hexdigest() if patient else None


def _patient(file: DicomFile) -> str:
    reader = reader_of(file)
    with captured_stderr(file.syntax not in NATIVE):
        reader.ReadImageInformation()
    return reader.GetMetaData(PATIENT).strip(" \0") if reader.HasMetaDataKey(PATIENT) else ""
