"""The DICOM files of a case, for viewers and archives: they refer to the slices of its series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monai_attn.datasets.regions import read_regions
from monai_attn.io.dicom.files import SEGMENTATION, STRUCTURE_SET
from monai_attn.io.dicom.rtstruct import write_rtstruct
from monai_attn.io.dicom.segmentation import write_dicom_seg
from monai_attn.runs.extra_files import ExtraFile, WrittenCase


def write_segmentation(case: WrittenCase, path: Path) -> None:
    """Write the labels of a case as DICOM SEG.

    Args:
        case: the DICOM series and its label map.
        path: the file, which ends in .dcm.
    """
    _write(write_dicom_seg, case, path)


def write_structures(case: WrittenCase, path: Path) -> None:
    """Write the contours of a case as RTSTRUCT.

    Args:
        case: the DICOM series and its label map.
        path: the file, which ends in .dcm.
    """
    _write(write_rtstruct, case, path)


def _write(write: Callable[..., Path], case: WrittenCase, path: Path) -> None:
    regions = read_regions(case.settings.get("regions"))
    write(
        path,
        case.labels,
        case.scan.grid,
        case.scan.files,
        case.names,
        version=str(case.settings.get("monai_attn", "unknown")),
        values=regions.values if regions else None,
    )


DICOM_SEG = ExtraFile(
    "DICOM SEG", "_seg.dcm", SEGMENTATION.encode(), write_segmentation, option="dicom_seg"
)
RTSTRUCT = ExtraFile(
    "DICOM RTSTRUCT", "_rtstruct.dcm", STRUCTURE_SET.encode(), write_structures, option="rtstruct"
)
