"""Writing of label maps as DICOM RT Structure Set (PS3.3 A.19) that refers to the CT series.

Each label becomes a structure with closed contours in the planes of the slices, for planning systems. No
library that is maintained writes this kind of file; pydicom does, and needs no extra package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from monai_attn.io.dicom.contours import contours
from monai_attn.io.dicom.files import STRUCTURE_SET, check_replaceable
from monai_attn.io.dicom.organ_codes import STRUCTURE, organ_codes
from monai_attn.io.dicom.segmentation import MAKER, check_labels
from monai_attn.io.dicom.source import Source, quiet_libraries, read_source
from monai_attn.io.errors import warn_of
from monai_attn.io.files import atomic_write
from monai_attn.io.grid import Grid

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_NUMBER = 1001  # next to that of a DICOM SEG
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # the class by which structure sets refer to a study
COLOURS = (
    (230, 75, 53),
    (77, 187, 213),
    (0, 160, 135),
    (60, 84, 136),
    (243, 155, 127),
    (240, 200, 60),
)
DIGITS = 4  # after the point, of mm: a text of 16 characters holds them


def write_rtstruct(
    path: str | Path,
    labels: NDArray[np.integer],
    like: Grid,
    files: Sequence[Path],
    names: Mapping[int, str],
    *,
    version: str,
    values: Mapping[int, Sequence[int]] | None = None,
) -> Path:
    """Write a label map as RTSTRUCT, completely or not at all.

    Filled again on the scan's grid, the contours give exactly the labels; `contours` says why.

    Args:
        path: file to write, with a name that ends in .dcm.
        labels: (X, Y, Z) whole numbers on the grid of the series; 0 is background.
        like: the grid of the series, from `monai_attn.io.open_scan`.
        files: its files in the order of the grid's slices, `Scan.files`.
        names: the name of each label. Each label except 0 becomes a structure, even if it has no voxel.
        version: version of the program that made the labels.
        values: the values in the label map that each label's structure has, if structures overlap.

    Raises:
        ValueError: if the labels, the names or the slices do not fit, or another file would be replaced.
    """
    path = Path(path)
    wanted = {label: names[label] for label in sorted(names) if label}
    check_replaceable(path, STRUCTURE_SET, "an RTSTRUCT")
    check_labels(path, labels, like, files, wanted)
    _check_version(path)
    source = read_source(files, like)
    with quiet_libraries():
        structures = _structure_set(source, version)
        for number, (label, name) in enumerate(wanted.items(), start=1):
            mask = np.isin(labels, (values or {}).get(label, (label,)))
            _add(structures, number, name, list(_contour_items(mask, like, source.slices)))
        with atomic_write(path) as file:
            structures.save_as(file, enforce_file_format=True)
    warn_of(source.doubts)
    return path


def _check_version(path: Path) -> None:
    """Refuse a pydicom that cannot write files by the standard on its own."""
    import pydicom

    if int(pydicom.__version__.partition(".")[0]) < 3:
        raise ValueError(
            f"{path}: pydicom is too old (got {pydicom.__version__}, expected 3 or later). Install a newer "
            "one."
        )


def _structure_set(source: Source, version: str) -> Dataset:
    """Return a structure set without structures."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

    now = datetime.now()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    uid = generate_uid(prefix=None)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    made.file_meta.MediaStorageSOPInstanceUID = uid
    source.describe_patient(made)
    made.SOPClassUID, made.SOPInstanceUID = RTStructureSetStorage, uid
    made.InstanceCreationDate, made.InstanceCreationTime = date, time
    made.StudyInstanceUID = source.slices[0].StudyInstanceUID
    made.Modality = "RTSTRUCT"
    made.SeriesInstanceUID, made.SeriesNumber = generate_uid(prefix=None), SERIES_NUMBER
    made.SeriesDescription = f"{MAKER} structures"
    made.SeriesDate, made.SeriesTime, made.OperatorsName = date, time, None
    made.Manufacturer = made.ManufacturerModelName = MAKER
    made.SoftwareVersions = version
    made.InstanceNumber = 1
    made.FrameOfReferenceUID = source.slices[0].FrameOfReferenceUID
    made.PositionReferenceIndicator = source.slices[0].get("PositionReferenceIndicator")
    made.StructureSetLabel = MAKER
    made.StructureSetDate, made.StructureSetTime = date, time
    made.ApprovalStatus = "UNAPPROVED"
    made.ReferencedFrameOfReferenceSequence = [_reference(source)]
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    made.RTROIObservationsSequence = []
    return made


def _reference(source: Source) -> Dataset:
    """Return the reference to the frame, the study, the series and its slices."""
    first = source.slices[0]
    series = _item(
        SeriesInstanceUID=first.SeriesInstanceUID,
        ContourImageSequence=[_image(one) for one in source.slices],
    )
    study = _item(
        ReferencedSOPClassUID=STUDY_CLASS,
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _image(one: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID)


def _item(**values: object) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _add(structures: Dataset, number: int, name: str, contour_items: list[Dataset]) -> None:
    """Add a structure with its contours."""
    frame = structures.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID
    category, kind = organ_codes(name)
    structures.StructureSetROISequence.append(
        _item(
            ROINumber=number,
            ReferencedFrameOfReferenceUID=frame,
            ROIName=name[:64],  # the longest that DICOM allows
            ROIGenerationAlgorithm="AUTOMATIC",
        )
    )
    contoured = _item(
        ReferencedROINumber=number, ROIDisplayColor=[*COLOURS[(number - 1) % len(COLOURS)]]
    )
    if contour_items:  # a structure that was not found has none
        contoured.ContourSequence = contour_items
    structures.ROIContourSequence.append(contoured)
    code, meaning = kind
    structures.RTROIObservationsSequence.append(
        _item(
            ObservationNumber=number,
            ReferencedROINumber=number,
            RTROIIdentificationCodeSequence=[
                _item(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning=meaning)
            ],
            RTROIInterpretedType="ORGAN" if category == STRUCTURE else None,
            ROIInterpreter=None,
        )
    )


def _contour_items(
    mask: NDArray[np.bool_], like: Grid, slices: Sequence[Dataset]
) -> Iterator[Dataset]:
    """Yield the contours of a structure, slice by slice, each with the slice it lies on."""
    number = 0
    for k, one in enumerate(slices):
        for ring in contours(mask[..., k]):
            number += 1
            corners = np.column_stack([ring, np.full(len(ring), k)])
            points = apply_affine(like.affine, corners) * (-1, -1, 1)  # RAS+ to LPS+
            yield _item(
                ContourNumber=number,
                ContourImageSequence=[_image(one)],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points),
                ContourData=[f"{value:.{DIGITS}f}" for value in points.ravel()],
            )
