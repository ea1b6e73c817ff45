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

from monai_attn.io.dicom.files import SEGMENTATION, check_replaceable
from monai_attn.io.dicom.organ_codes import organ_codes
from monai_attn.io.dicom.source import Source, quiet_libraries, read_source
from monai_attn.io.errors import reason, warn_of
from monai_attn.io.files import atomic_write
from monai_attn.io.grid import Grid

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

MAKER = "monai-attn"
SERIES_NUMBER = 1000  # above the numbers that scanners use


def check_installed() -> None:
    """Check that highdicom, which writes DICOM SEG, is installed, before a long run starts.

    Raises:
        ValueError: if it is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise ValueError('DICOM SEG needs highdicom; pip install "monai-attn[dicom]"') from error


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
    check_replaceable(path, SEGMENTATION, "a DICOM SEG")
    check_labels(path, labels, like, files, wanted)
    check_installed()
    source = read_source(files, like)
    frames = _frames(labels, [*wanted]) if not values else _overlapping(labels, [*wanted], values)
    with quiet_libraries():
        try:
            segmentation = _segmentation(source, frames, wanted, like, version)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: the slices cannot become a DICOM SEG ({reason(error)}); write NIfTI instead"
            ) from error
        with atomic_write(path) as file:
            segmentation.save_as(file)
    warn_of(source.doubts)
    return path


def _segmentation(
    source: Source,
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
    segmentation = hd.seg.Segmentation(
        source_images=source.slices,
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
    source.describe_patient(segmentation)
    return segmentation


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
            segmented_property_category=code(organ_codes(name)[0]),
            segmented_property_type=code(organ_codes(name)[1]),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(names.values(), start=1)
    ]


def check_labels(
    path: Path,
    labels: NDArray[np.integer],
    like: Grid,
    files: Sequence[Path],
    wanted: Mapping[int, str],
) -> None:
    """Refuse labels that cannot become a DICOM file that refers to these slices.

    Raises:
        ValueError: one line that names the file that cannot be written.
    """
    if path.suffix.lower() != ".dcm":
        raise ValueError(f"{path}: the name of a DICOM file must end in .dcm; rename it")
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
