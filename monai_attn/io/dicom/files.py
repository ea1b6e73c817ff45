"""DICOM files of a folder, with the SOP class and transfer syntax that their first bytes name."""

from __future__ import annotations

import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

from monai_attn.io.names import suffix

PREAMBLE = 132  # bytes: 128 without a meaning, then "DICM"
SOP_CLASS, SYNTAX = 0x00020002, 0x00020010  # tags of the file meta information
IMPLICIT, EXPLICIT, BIG = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2"))
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (IMPLICIT, EXPLICIT, BIG, DEFLATED)  # syntaxes of voxels without a codec
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
DIRECTORY = "1.2.840.10008.1.3.10"
NO_IMAGE = {  # modality by the beginning of the SOP class, for files that are no images and are not read
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.66.1": "REG",
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.88.": "SR",
    "1.2.840.10008.5.1.4.1.1.11.": "PR",
    "1.2.840.10008.5.1.4.1.1.104.": "DOC",
    DIRECTORY: "DICOMDIR",
}


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


def check_replaceable(path: Path, kind: str, name: str) -> None:
    """Check that the path of a DICOM file is free, or holds an older file of its kind.

    Args:
        path: file to be written.
        kind: its SOP class UID.
        name: name of that class in the message, with its article, such as "a DICOM SEG".

    Raises:
        ValueError: if there is another file, such as a slice, which would be overwritten.
    """
    if path.exists() and not (is_dicom(path) and _identify(path).kind == kind):
        raise ValueError(f"{path}: is not {name} and would be overwritten; move it away")


def holds_dicom(folder: Path) -> bool:
    """Check whether the folder itself holds a DICOM image; skip hidden files.

    Reports, structures, a DICOMDIR and DICOM SEGs are none, and lie in folders of their own in many exports.
    """
    try:
        files = [path for path in folder.iterdir() if path.name[0] != "." and not suffix(path)]
        return any(is_dicom(path) and not _is_no_image(_identify(path)) for path in files)
    except OSError:
        return False


def _is_no_image(file: DicomFile) -> bool:
    return file.kind.startswith(tuple(NO_IMAGE))


def list_files(folder: Path) -> list[DicomFile]:
    """List the DICOM files of a folder, sorted by name.

    Raises:
        ValueError: one line that names the folder, if it holds no DICOM files or cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder; give the folder that holds the slices of a CT")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot be read ({error.strerror}); make it readable"
        ) from error
    files = []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            if _is_dicom(path):
                files.append(_identify(path))
            elif path.suffix.lower() == ".dcm" and path.is_file():  # it may be the last slice
                raise ValueError(
                    f"{folder}: {path.name} has the name of a DICOM file but is not one"
                    f" ({path.stat().st_size} bytes); copy it again or move it away"
                )
        except OSError as error:
            raise ValueError(
                f"{folder}: {path.name} cannot be read ({error.strerror}); make it readable"
                " or move it away"
            ) from error
    for file in files:
        _check_name(folder, file)
    if not files:
        raise ValueError(
            f"{folder}: no DICOM files in this folder; give the folder that holds the slices"
        )
    if all(file.kind == DIRECTORY for file in files):
        raise ValueError(
            f"{folder}: only a DICOMDIR in this folder; give the folder that holds the slices"
        )
    return files


def _is_dicom(path: Path) -> bool:
    if not stat.S_ISREG(path.stat().st_mode):
        return False
    with path.open("rb") as file:
        return file.read(PREAMBLE)[128:] == b"DICM"


def _identify(path: Path) -> DicomFile:
    """Read SOP class and transfer syntax from the meta information (always explicit little endian).

    `pydicom.filereader.read_file_meta_info` returns a value that is cut short as if it were whole; here it
    counts as missing. Nor does it return where the data set starts.
    """
    from pydicom.dataelem import RawDataElement
    from pydicom.filereader import read_dataset

    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are never converted
        file.seek(PREAMBLE)
        try:
            meta = read_dataset(
                file, False, True, stop_when=_is_behind_meta, specific_tags=[SOP_CLASS, SYNTAX]
            )
        except Exception as error:  # a hostile file can raise anything in the parser
            if getattr(error, "errno", None):  # of the disk: pydicom's own OSError has none
                raise
            return DicomFile(path, "", "", PREAMBLE)
        start = file.tell()
    texts = {
        int(element.tag): (element.value or b"").rstrip(b"\0 ").decode("ascii", "replace")
        for element in meta.elements()
        if isinstance(element, RawDataElement) and len(element.value or b"") == element.length
    }
    return DicomFile(path, texts.get(SOP_CLASS, ""), texts.get(SYNTAX, ""), start)


def _is_behind_meta(tag: int, *_: object) -> bool:
    return tag >> 16 != 2


def _check_name(folder: Path, file: DicomFile) -> None:
    """Refuse a path that is not valid UTF-8: SimpleITK would end the whole process."""
    try:
        str(file.path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{folder}: the file name {file.name!a} is not valid UTF-8; rename the file or its folder"
        ) from error
