"""GDCM, by which SimpleITK reads a file: its transfer syntaxes, and errors for unreadable files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk

from monai_attn.io.dicom.files import NATIVE, DicomFile
from monai_attn.io.dicom.words import CONVERT, plain

JPEG = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70, 80, 81, 90, 91))
RLE = "1.2.840.10008.1.2.5"
READABLE = (*NATIVE, *JPEG, RLE)


def reader_of(file: DicomFile) -> sitk.ImageFileReader:
    """Return a reader that treats the file as DICOM, whatever its name."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file.path))
    return reader


def packed_size(file: DicomFile, stderr: Callable[[], bytes]) -> tuple[int, ...]:
    """Return the size (columns, rows, frames) of compressed voxels, as their codec reports it.

    Args:
        file: the file.
        stderr: returns what the codecs wrote since its last call, from `captured_stderr`.

    Raises:
        RuntimeError: if GDCM or the codec cannot read the file.
    """
    for _ in range(2):  # what was written may be of another thread
        reader = reader_of(file)
        reader.ReadImageInformation()
        if not stderr():
            return reader.GetSize()
    raise RuntimeError(f"{file.path}: its codec complains")


def unreadable(folder: Path, file: DicomFile) -> ValueError:
    """Return an error that says why GDCM could not read a file, and the remedy."""
    if not file.path.is_file():
        return ValueError(
            f"{folder}: {file.name} was removed meanwhile; do not change the folder while it is read"
        )
    if file.syntax and file.syntax not in READABLE:
        syntax = plain(file.syntax, r"[0-9.]{1,64}")
        return ValueError(
            f"{folder}: {file.name} is stored in transfer syntax {syntax}, which cannot be decoded;"
            f" {CONVERT}"
        )
    return ValueError(f"{folder}: {file.name} is cut short or damaged; copy it again")
