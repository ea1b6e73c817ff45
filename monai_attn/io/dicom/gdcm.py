"""GDCM, by which SimpleITK reads a file: its transfer syntaxes, and errors for unreadable files."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from monai_attn.io.dicom.files import DicomFile
from monai_attn.io.dicom.words import CONVERT, plain

IMPLICIT, EXPLICIT, BIG = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2"))
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, EXPLICIT, BIG, DEFLATED)  # voxels without a codec: their bytes can be counted
JPEG = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70, 80, 81, 90, 91))
RLE = "1.2.840.10008.1.2.5"
READABLE = (*NATIVE, *JPEG, RLE)


def reader_of(file: DicomFile) -> sitk.ImageFileReader:
    """Return a reader that treats the file as DICOM, whatever its name."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file.path))
    return reader


def unreadable(folder: Path, file: DicomFile) -> ValueError:
    """Return an error that says why GDCM could not read a file, and the remedy."""
    if not file.path.is_file():
        return ValueError(f"{folder}: {file.name} is gone; leave the folder alone while it is read")
    if file.syntax and file.syntax not in READABLE:
        syntax = plain(file.syntax, r"[0-9.]{1,64}")
        return ValueError(
            f"{folder}: {file.name} is stored in transfer syntax {syntax}, which cannot be decoded;"
            f" {CONVERT}"
        )
    return ValueError(f"{folder}: {file.name} is cut short or damaged; copy it again")
