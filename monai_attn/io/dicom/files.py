"""DICOM files of a folder, with the SOP class and transfer syntax that their first bytes name."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

PREAMBLE = 132  # bytes: 128 without a meaning, then "DICM"
META = 2**14  # bytes, more than the file meta information takes
LONG = (b"OB", b"OW", b"UN", b"UT", b"SQ")  # value representations whose length has 4 bytes
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file, as described by its first bytes.

    Attributes:
        path: path of the file.
        kind: the SOP class UID.
        syntax: the transfer syntax UID.
        start: bytes before the data set.
    """

    path: Path
    kind: str
    syntax: str
    start: int

    @property
    def name(self) -> str:
        """File name, without the folder."""
        return self.path.name


def is_dicom(path: Path) -> bool:
    """Check whether a file is DICOM, by its content: "DICM" follows the preamble.

    Anything but a regular file, or a file that may not be read, is not DICOM.
    """
    try:
        return _is_dicom(path)
    except OSError:
        return False


def is_segmentation(path: Path) -> bool:
    """Check whether a file is a DICOM SEG, the format in which labels can be written."""
    return is_dicom(path) and _identify(path).kind == SEGMENTATION


def holds_dicom(folder: Path) -> bool:
    """Check whether the folder itself holds a DICOM file other than a DICOM SEG; skip hidden files."""
    try:
        files = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return any(is_dicom(path) and _identify(path).kind != SEGMENTATION for path in files)
    except OSError:
        return False


def list_files(folder: Path) -> list[DicomFile]:
    """List the DICOM files of a folder, sorted by name."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no folder; name one that holds the slices of a CT")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot be read ({error.strerror}); make it readable"
        ) from error
    found = []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            if _is_dicom(path):
                found.append(_identify(path))
            elif path.suffix.lower() == ".dcm" and path.is_file():  # it may be the last slice
                raise ValueError(
                    f"{folder}: {path.name} is named DICOM but holds none"
                    f" ({path.stat().st_size} bytes); copy it again or move it away"
                )
        except OSError as error:
            raise ValueError(
                f"{folder}: {path.name} cannot be read ({error.strerror}); make it readable"
                " or move it away"
            ) from error
    for file in found:
        _check_name(folder, file)
    if not found:
        raise ValueError(f"{folder}: no DICOM file in it; name the folder that holds the slices")
    if all(file.kind == DIRECTORY for file in found):
        raise ValueError(
            f"{folder}: only a DICOMDIR, no slices in it; name the folder that holds the slices"
        )
    return found


def _is_dicom(path: Path) -> bool:
    return stat.S_ISREG(path.stat().st_mode) and _first(path, PREAMBLE)[128:] == b"DICM"


def _first(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _identify(path: Path) -> DicomFile:
    """Read SOP class and transfer syntax from the meta information (always explicit little endian)."""
    raw, at = _first(path, META), PREAMBLE
    found = {}
    while raw[at : at + 2] == b"\x02\x00":
        element, kind = raw[at + 2 : at + 4], raw[at + 4 : at + 6]
        length, value = (at + 8, at + 12) if kind in LONG else (at + 6, at + 8)
        at = value + int.from_bytes(raw[length:value], "little")
        if at <= len(raw):
            found[element] = raw[value:at].rstrip(b"\0 ").decode("ascii", "replace")
    return DicomFile(path, found.get(b"\x02\x00", ""), found.get(b"\x10\x00", ""), at)


def _check_name(folder: Path, file: DicomFile) -> None:
    """Refuse a path that is not valid UTF-8: SimpleITK would end the whole process."""
    try:
        str(file.path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{folder}: {file.name!a} is a name that is no UTF-8; rename the file or its folder"
        ) from error
