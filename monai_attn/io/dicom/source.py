"""Headers of the slices to which a DICOM SEG or an RTSTRUCT refers: their UIDs, geometry, patient and study.

Anonymised slices often lack attributes. One that may be empty is left empty, and the SOP class and UID of a
slice are taken from its file meta information. A UID that cannot be known is an error: an invented one
would put the result into another study.

pydicom and highdicom quote values in their warnings and errors, such as a patient's name. So both only get
UIDs and geometry. Patient and study are copied as bytes, which nothing parses.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nibabel.affines import voxel_sizes

from monai_attn.io.grid import Grid

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement, RawDataElement

META = {  # attributes of a slice that its file meta information has too
    "SOPClassUID": "MediaStorageSOPClassUID",
    "SOPInstanceUID": "MediaStorageSOPInstanceUID",
}
SHARED = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)  # one value for all slices
GEOMETRY = (
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PositionReferenceIndicator",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
MAY_BE_EMPTY = (  # required in each file of a study
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)
COPIED = (  # the modules Patient, Study, Patient Study and Clinical Trial, as far as they are text
    "SpecificCharacterSet",
    *MAY_BE_EMPTY,
    "IssuerOfPatientID",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientComments",
    "EthnicGroup",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDescription",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "ClinicalTrialCoordinatingCenterName",
)
CODES = ("AS", "CS", "DA", "DS", "TM", "UI")  # kinds of values with a fixed form
AGAIN = "Export the series again, or anonymise it so that UIDs are replaced and not removed"


@dataclass(frozen=True)
class Source:
    """The slices to which a DICOM SEG or an RTSTRUCT refers.

    Attributes:
        slices: UIDs and geometry of each slice, in the order of the grid; nothing about the patient.
        patient: patient and study, as they are in the first slice.
        doubts: doubts about these, one line.
    """

    slices: tuple[Dataset, ...]
    patient: Dataset
    doubts: tuple[str, ...] = ()

    def describe_patient(self, target: Dataset) -> None:
        """Give a data set the patient and the study of the slices, byte for byte."""
        for keyword in MAY_BE_EMPTY:
            setattr(target, keyword, None)
        for keyword in COPIED:
            element = _element(self.patient, keyword)
            if element is not None:
                target[element.tag] = element


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep pydicom and highdicom from checking values, and from warning about them or logging them."""
    from pydicom.config import disable_value_validation, logger

    logged = logger.disabled
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = logged


def read_source(files: Sequence[Path], like: Grid) -> Source:
    """Read the headers of a series, complete what may be empty, and check the rest.

    Args:
        files: the files in the order of the grid's slices.
        like: the grid of the series.

    Raises:
        ValueError: one line that names the file, and the attribute that it lacks.
    """
    thickness = float(voxel_sizes(like.affine)[2])
    with quiet_libraries():
        slices = tuple(_header(file, thickness) for file in files)
        patient = _read(files[0], COPIED)
        doubts = _doubts(like.path, slices[0], patient)
        _check_uids(files, slices)
    return Source(slices, patient, doubts)


def _read(file: Path, keywords: Sequence[str]) -> Dataset:
    import pydicom

    try:
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*keywords])
    except Exception as error:  # the parser can raise anything; its text may quote a value
        why = error.strerror if isinstance(error, OSError) and error.strerror else "damaged"
        raise ValueError(
            f"{file}: can no longer be read ({why}). Do not change the scan's folder during a run."
        ) from None


def _header(file: Path, thickness: float) -> Dataset:
    """Read UIDs and geometry of a slice; an attribute that is empty is left out."""
    header = _read(file, (*META, *SHARED, *GEOMETRY))
    for keyword, meta in META.items():
        if not header.get(keyword):
            setattr(header, keyword, header.file_meta.get(meta))
    for keyword in MAY_BE_EMPTY:
        setattr(header, keyword, None)  # highdicom asks for them
    if "SpecificCharacterSet" in header:
        del header.SpecificCharacterSet
    if not header.get("Modality"):
        header.Modality = "CT"  # it was read as one
    if not header.get("SliceThickness"):
        header.SliceThickness = thickness
    return header


def _check_uids(files: Sequence[Path], slices: Sequence[Dataset]) -> None:
    """Check that each slice has all UIDs, that those of the series agree, and that its own is unique."""
    first: dict[str, Path] = {}
    for file, header in zip(files, slices, strict=True):
        for keyword in (*SHARED, *META):
            if not header.get(keyword):
                raise ValueError(f"{file}: {keyword} is missing. {AGAIN}.")
        for keyword in SHARED:
            if header[keyword].value != slices[0][keyword].value:
                raise ValueError(
                    f"{file}: another {keyword} than in {files[0].name} (expected one for all). {AGAIN}."
                )
        other = first.setdefault(str(header.SOPInstanceUID), file)
        if other is not file:
            raise ValueError(f"{file}: the same SOPInstanceUID as {other.name}. {AGAIN}.")


def _doubts(folder: Path, first: Dataset, patient: Dataset) -> tuple[str, ...]:
    """Return a doubt that names the attributes whose value is malformed, and never the value."""
    malformed = [keyword for keyword in SHARED if _is_malformed(first, keyword)]
    malformed += [keyword for keyword in COPIED if _is_malformed(patient, keyword)]
    if not malformed:
        return ()
    return (f"{folder}: malformed {', '.join(malformed)}; DICOM output has the same values",)


def _is_malformed(header: Dataset, keyword: str) -> bool:
    from pydicom.config import RAISE
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import validate_value

    element = _element(header, keyword)
    if element is None or (kind := dictionary_VR(element.tag)) not in CODES:
        return False
    value = element.value
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    try:
        validate_value(kind, text.rstrip("\0 "), RAISE)
    except ValueError:
        return True
    return False


def _element(patient: Dataset, keyword: str) -> RawDataElement | DataElement | None:
    """Return an attribute as it was read, with its kind of value; None if it is missing or empty."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement

    tag = tag_for_keyword(keyword)
    element = patient.get_item(tag) if tag and tag in patient else None
    if element is None or not element.value:
        return None
    if isinstance(element, RawDataElement):
        kind = dictionary_VR(element.tag)  # which files of an implicit syntax do not state
        return element._replace(VR=kind)
    return element
