"""Tags of each DICOM file, and the choice of the files that are slices of one CT series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_attn.io.dicom.files import DIRECTORY, DicomFile
from monai_attn.io.dicom.gdcm import NATIVE, reader_of, unreadable
from monai_attn.io.dicom.stderr_capture import captured_stderr
from monai_attn.io.dicom.words import counted, plain

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED = tuple(f"{CT_IMAGE}.{end}" for end in (1, 2))  # all slices in one file, or several
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # a picture, such as a dose report or a converted slice
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
MODALITY, NUMBER_OF_FRAMES = "0008|0060", "0028|0008"
SERIES, INSTANCE = "0020|000e", "0008|0018"
POSITION, ORIENTATION, PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
THICKNESS, BETWEEN = "0018|0050", "0018|0088"
ROWS, COLUMNS, BITS = "0028|0010", "0028|0011", "0028|0100"
SAMPLES, PHOTOMETRIC = "0028|0002", "0028|0004"
SLOPE, INTERCEPT = "0028|1053", "0028|1052"
TAGS = {
    POSITION: "ImagePositionPatient",
    ORIENTATION: "ImageOrientationPatient",
    PIXEL_SPACING: "PixelSpacing",
    ROWS: "Rows",
    COLUMNS: "Columns",
    BITS: "BitsAllocated",
    SLOPE: "RescaleSlope",
    INTERCEPT: "RescaleIntercept",
}
OTHERS = (MODALITY, NUMBER_OF_FRAMES, SERIES, INSTANCE, THICKNESS, BETWEEN, SAMPLES, PHOTOMETRIC)


@dataclass(frozen=True)
class Header:
    """Header of a file: the text of its tags, and the size (columns, rows) of its image."""

    file: DicomFile
    tags: dict[str, str]
    size: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.file.name

    @property
    def series(self) -> str:
        """SeriesInstanceUID, or "unknown"."""
        return plain(self.tags.get(SERIES), r"[0-9.]{1,64}")

    @property
    def modality(self) -> str:
        """Modality, or "unknown"."""
        return plain(self.tags.get(MODALITY), r"[A-Z]{2,8}")


def read_headers(folder: Path, files: Sequence[DicomFile]) -> list[Header]:
    """Read the headers of images, and only the modality of files that are no images."""
    with captured_stderr(any(file.syntax not in NATIVE for file in files)) as said:
        return [_read_header(folder, file, said) for file in files]


def choose(folder: Path, headers: Sequence[Header], series: str | None) -> list[Header]:
    """Return the headers of the only CT series, or of the series that is asked for."""
    slices = [header for header in headers if header.modality == "CT" and not _is_picture(header)]
    if not slices:
        others = sorted({_what(header) for header in headers} - {"DICOMDIR"})
        raise ValueError(
            f"{folder}: no CT slices in it, only {', '.join(others)}; "
            "name a folder that holds a CT series"
        )
    counts = Counter(header.series for header in slices)
    listed = ", ".join(f"{uid} ({counted(n)})" for uid, n in sorted(counts.items()))
    if series is None and len(counts) > 1:
        raise ValueError(
            f"{folder}: {len(counts)} CT series, {listed}; choose one with --series UID"
        )
    if series is not None and series not in counts:
        raise ValueError(f"{folder}: no CT series {series} in it; there is {listed}")
    return [header for header in slices if series in (None, header.series)]


def _read_header(folder: Path, file: DicomFile, said: Callable[[], bytes]) -> Header:
    for kind, modality in NO_IMAGE.items():
        if file.kind.startswith(kind):
            return Header(file, {MODALITY: modality}, ())
    reader = reader_of(file)
    try:
        reader.ReadImageInformation()
        if said():  # by a codec, or by another thread
            reader = reader_of(file)
            reader.ReadImageInformation()
            if said():
                raise unreadable(folder, file)
    except RuntimeError as error:
        if file.kind and not file.kind.startswith((CT_IMAGE, CAPTURE)):
            return Header(file, {}, ())  # not an image, or not a CT
        raise unreadable(folder, file) from error
    tags = {
        tag: reader.GetMetaData(tag).strip(" \0")
        for tag in (*TAGS, *OTHERS)
        if reader.HasMetaDataKey(tag)
    }
    tags = {tag: text for tag, text in tags.items() if text}
    if not tags.get(MODALITY) and file.kind.startswith(CT_IMAGE):
        tags[MODALITY] = "CT"
    return Header(file, tags, reader.GetSize())


def _is_picture(header: Header) -> bool:
    """Check whether a file is a screenshot or a report that is stored with the slices as a CT."""
    return header.file.kind.startswith(CAPTURE) and POSITION not in header.tags


def _what(header: Header) -> str:
    return header.modality + " pictures" * _is_picture(header)
