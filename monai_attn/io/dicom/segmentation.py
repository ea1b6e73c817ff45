"""Writing of label maps as DICOM Segmentation (PS3.3 A.51) that refers to the CT series.

Each label becomes one binary segment, so that a viewer or an archive shows it over the slices. Patient
and study are copied from the slices; each frame has the position of its slice. highdicom writes the file;
it is an optional package: `pip install "monai-attn[dicom]"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from monai_attn.io.dicom.files import is_segmentation
from monai_attn.io.errors import reason
from monai_attn.io.files import atomic_write
from monai_attn.io.grid import Grid

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

MAKER = "monai-attn"
SERIES_NUMBER = 1000  # above the numbers that scanners use
SIDES = ("left", "right")
STRUCTURE, TISSUE = ("91723000", "Anatomical Structure"), ("85756007", "Tissue")
ORGANS = {  # SNOMED CT, as in DICOM's context groups
    "adrenal gland": ("23451007", "Adrenal gland"),
    "aorta": ("15825003", "Aorta"),
    "bladder": ("89837001", "Bladder"),
    "colon": ("71854001", "Colon"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "gallbladder": ("28231008", "Gallbladder"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"),
    "liver": ("10200004", "Liver"),
    "pancreas": ("15776009", "Pancreas"),
    "portal vein": ("32764006", "Portal vein"),
    "prostate": ("41216001", "Prostate"),
    "small intestine": ("30315005", "Small intestine"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
}
EXPECTED = (  # required in a slice, but may be empty; anonymised slices often lack them
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


def check_installed() -> None:
    """Check that highdicom, which writes DICOM SEG, is installed, before a long run starts.

    Raises:
        ValueError: if it is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise ValueError('DICOM SEG needs highdicom; pip install "monai-attn[dicom]"') from error


def check_replaceable(path: Path) -> None:
    """Check that the path of a DICOM SEG is free, or holds an older DICOM SEG.

    Raises:
        ValueError: if there is another file, such as a slice, which would be overwritten.
    """
    if path.exists() and not is_segmentation(path):
        raise ValueError(f"{path}: is not a DICOM SEG and would be overwritten; move it away")


def write_dicom_seg(
    path: str | Path,
    labels: NDArray[np.integer],
    like: Grid,
    files: Sequence[Path],
    names: Mapping[int, str],
    *,
    version: str,
    values: Mapping[int, Sequence[int]] | None = None,
) -> Path:
    """Write a label map as DICOM SEG, completely or not at all.

    Args:
        path: file to write, with a name that ends in .dcm.
        labels: (X, Y, Z) whole numbers on the grid of the series; 0 is background.
        like: the grid of the series, from `monai_attn.io.open_scan`.
        files: its files in the order of the grid's slices, `Scan.files`.
        names: the name of each label. Each label except 0 becomes a segment, even if it has no voxel.
        version: version of the program that made the labels.
        values: the values in the label map that each label's segment has, if structures overlap.

    Raises:
        ValueError: if highdicom is not installed, or the labels, the names or the slices do not fit.
    """
    path = Path(path)
    wanted = {label: names[label] for label in sorted(names) if label}
    _check(path, labels, like, files, wanted)
    check_installed()
    between_slices = float(voxel_sizes(like.affine)[2])
    slices = [_header(path, file, between_slices) for file in files]
    frames = _frames(labels, [*wanted]) if not values else _overlapping(labels, [*wanted], values)
    try:
        segmentation = _segmentation(slices, frames, wanted, like, version)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: the slices cannot become a DICOM SEG ({reason(error)}); write NIfTI instead"
        ) from error
    with atomic_write(path) as file:
        segmentation.save_as(file)
    return path


def _segmentation(
    slices: Sequence[Dataset],
    frames: NDArray[np.integer],
    names: Mapping[int, str],
    like: Grid,
    version: str,
) -> Dataset:
    """Return a segmentation of the slices.

    Its frames are segment numbers (Z, Y, X); or (Z, Y, X, segments) with 1 inside, if segments overlap.
    """
    import highdicom as hd

    between_columns, between_rows, between_slices = map(float, voxel_sizes(like.affine))
    return hd.seg.Segmentation(
        source_images=slices,
        pixel_array=frames,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_segments(names, version),
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=version,
        device_serial_number="none",
        pixel_measures=hd.PixelMeasuresSequence(
            pixel_spacing=(between_rows, between_columns),
            slice_thickness=between_slices,
            spacing_between_slices=between_slices,
        ),
        series_description=f"{MAKER} segmentation",
    )


def _segments(names: Mapping[int, str], version: str) -> list[SegmentDescription]:
    """Return the description of each segment, in the order of the labels."""
    import highdicom as hd
    from highdicom.sr import CodedConcept

    def code(value: tuple[str, str]) -> CodedConcept:
        return CodedConcept(value[0], "SCT", value[1])

    algorithm = hd.AlgorithmIdentificationSequence(
        name=MAKER,
        family=CodedConcept("123110", "DCM", "Artificial Intelligence"),
        version=version,
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name[:64],  # the longest that DICOM allows
            segmented_property_category=code(_concept(name)[0]),
            segmented_property_type=code(_concept(name)[1]),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(names.values(), start=1)
    ]


def _check(
    path: Path,
    labels: NDArray[np.integer],
    like: Grid,
    files: Sequence[Path],
    wanted: Mapping[int, str],
) -> None:
    """Refuse labels that cannot become a segmentation of these slices."""
    if path.suffix.lower() != ".dcm":
        raise ValueError(f"{path}: the name of a DICOM SEG must end in .dcm; rename it")
    check_replaceable(path)
    if labels.shape != like.shape or len(files) != like.shape[2]:
        raise ValueError(
            f"{path}: labels do not fit the grid of {like.path} (got shape {labels.shape} and"
            f" {len(files)} slices, expected shape {like.shape}); nothing was written"
        )
    if not wanted:
        raise ValueError(
            f"{path}: no label has a name; give a name to each label that is to be a segment"
        )
    # layer by layer: an array of more than one byte for each voxel of a scan would be too large
    present = {int(label) for layer in np.moveaxis(labels, -1, 0) for label in np.unique(layer)}
    nameless = sorted(present - {0, *wanted})
    if nameless:
        raise ValueError(f"{path}: labels {nameless} have no name; give each label a name")


def _header(path: Path, file: Path, thickness: float) -> Dataset:
    """Read the header of a slice, and add empty values for missing fields that may be empty."""
    import pydicom

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise ValueError(
            f"{path}: the slice {file} can no longer be read; do not change the scan's folder meanwhile"
        ) from error
    for keyword in EXPECTED:
        if keyword not in header:
            setattr(header, keyword, None)
    if not header.get("SliceThickness"):
        header.SliceThickness = thickness
    return header


def _frames(labels: NDArray[np.integer], wanted: Sequence[int]) -> NDArray[np.integer]:
    """Return segment numbers (Z, Y, X), which count from 1 in the order of the labels."""
    kind = np.uint8 if len(wanted) < 256 else np.uint16
    frames = np.zeros(labels.shape[::-1], kind)
    for number, label in enumerate(wanted, start=1):
        frames[labels.transpose() == label] = number
    return frames


def _overlapping(
    labels: NDArray[np.integer], wanted: Sequence[int], values: Mapping[int, Sequence[int]]
) -> NDArray[np.uint8]:
    """Return where (Z, Y, X, segments) the segment of each label is, in the order of the labels."""
    turned = labels.transpose()
    masks = [np.isin(turned, values.get(label, (label,))) for label in wanted]
    return np.stack(masks, axis=-1).astype(np.uint8)


def _concept(name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the SNOMED CT category and type of a label; the side of an organ is only in its name."""
    words = name.lower().replace("_", " ").split()
    organ = " ".join(word for word in words if word not in SIDES)
    return (STRUCTURE, ORGANS[organ]) if organ in ORGANS else (TISSUE, TISSUE)
