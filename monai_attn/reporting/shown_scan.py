"""The scan behind the labels of a case, as pictures show it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.channels import open_channels
from monai_attn.io.dicom.series_path import scan_exists
from monai_attn.io.errors import collect_warnings
from monai_attn.io.grid import Grid
from monai_attn.io.reorder import axis_order
from monai_attn.io.scan import open_scan
from monai_attn.reporting.planes import to_ras
from monai_attn.runs.json_values import number, text_of
from monai_attn.runs.records import Record

SOFT_TISSUE = (-160.0, 240.0)  # HU, where the bundle names no range
EXTREMES = (0.005, 0.995)  # quantiles that are drawn black and white, where there is no unit


def read_scan(record: Record, grid: Grid) -> NDArray[np.float32]:
    """Read the scan in closest RAS order, if it is the one that was segmented; of several channels the first.

    Args:
        record: the case.
        grid: grid of its label map.

    Raises:
        ValueError: if it is not there, was changed, or lies on another grid.
    """
    scan, settings = record.scan, record.manifest.settings
    if scan is None:
        raise ValueError(
            f"{record.labels}: no record of the scan that it was made from; segment the scan again"
        )
    if not scan_exists(scan):
        raise ValueError(f"{scan}: the scan is no longer there; put it back, and report again")
    volume, series = settings.get("volume"), settings.get("series")
    digest = record.manifest.scan_sha256
    channels = {name: text_of(path) for name, path in record.manifest.channels.items()}
    if channels:
        opened = open_channels([*dict.fromkeys(channels.values())], [*channels])
    else:
        opened = open_scan(scan, volume=volume, series=series)
    if digest and opened.sha256 != digest:
        raise ValueError(f"{scan}: the scan was changed since the run; segment it again")
    with collect_warnings():  # its doubts are in the manifest
        image = opened.read()
    require_grid(image, grid)
    return to_ras(image.data, image.affine)


def require_grid(found: Grid, grid: Grid) -> None:
    """Refuse a grid that is not that of the label map, in whatever order of axes."""
    if axis_order(found, grid) is None:  # all are shown in RAS order
        raise ValueError(
            f"{found.path}: lies on another grid than {grid.path}; segment the scan again"
        )


def unit_of(record: Record) -> str:
    """Return the unit of the scan's values, with a space before it: HU, unless the first channel has none."""
    settings = record.manifest.settings
    return "" if settings.get("channels") and not settings.get("intensity_range") else " HU"


def display_window(record: Record, image: NDArray[np.float32]) -> tuple[float, float]:
    """Return the HU range that the bundle's network sees, or one for soft tissue.

    An image that is not HU, which the bundle says by its channels, is shown from its darkest to its brightest
    values.
    """
    settings = record.manifest.settings
    ends = settings.get("intensity_range")
    if isinstance(ends, list) and len(ends) == 2:
        low, high = map(number, ends)
        if low is not None and high is not None and low < high:
            return low, high
    if settings.get("channels"):
        low, high = np.quantile(image[::2, ::2, ::2], EXTREMES).tolist()
        return (low, high) if low < high else (low, low + 1)
    return SOFT_TISSUE
