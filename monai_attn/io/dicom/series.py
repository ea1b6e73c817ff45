"""A CT series in a folder of DICOM files: its grid, and its voxels in HU.

Space: DICOM gives the position of each slice's first voxel and the directions of its rows and columns
in LPS+ millimetres (PS3.3 C.7.6.2.1.1); the grid leads to RAS+, so x and y change sign.

SimpleITK's own series reader sorts and places slices too, but it returns a volume that is too short or
too long if a slice is missing or doubled, and an unsheared one if the gantry was tilted.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.dicom.files import list_files
from monai_attn.io.dicom.headers import INTERCEPT, SLOPE, choose, read_headers
from monai_attn.io.dicom.slices import check_alike, check_slice
from monai_attn.io.dicom.stack import Stack, stack_slices
from monai_attn.io.dicom.voxels import read_voxels
from monai_attn.io.errors import ScanWarning
from monai_attn.io.grid import Grid


def series_files(folder: Path, series: str | None = None) -> list[Path]:
    """Return the files of the CT series in a folder, in the order of the grid's slices.

    Raises:
        ValueError: as `series_grid`.
    """
    return [slice_.header.file.path for slice_ in _plan(folder, series).slices]


def series_grid(folder: Path, *, series: str | None = None) -> Grid:
    """Return the grid of a series, from the headers only; no voxel is decoded.

    Args:
        folder: holds the files, one slice in each; other files, hidden ones, other modalities and
            folders in it are ignored.
        series: its SeriesInstanceUID, where there are several.

    Returns:
        The grid (columns, rows, slices). Its affine is sheared where the gantry was tilted.

    Raises:
        ValueError: one line that names the folder, the file if one is at fault, and the remedy.
    """
    return _plan(folder, series).grid


def read_series(folder: Path, *, series: str | None = None) -> tuple[Grid, NDArray[np.float32]]:
    """Read the grid of a series and its voxels (X, Y, Z), scaled slice by slice to HU.

    If a slice has no rescale slope or intercept, 1 and 0 are used, with a `ScanWarning`.

    Args:
        folder: as for `series_grid`.
        series: its SeriesInstanceUID, where there are several.

    Raises:
        ValueError: as `series_grid`, and where a slice cannot be decoded or is cut short.
    """
    stack = _plan(folder, series)
    if not all({SLOPE, INTERCEPT} <= slice_.header.tags.keys() for slice_ in stack.slices):
        warnings.warn(
            f"{folder}: no rescale slope or intercept; 1 and 0 are taken",
            ScanWarning,
            stacklevel=2,
        )
    return stack.grid, read_voxels(folder, stack)


def _plan(folder: Path, series: str | None) -> Stack:
    """Compute the order of the slices and their grid from the headers."""
    headers = choose(folder, read_headers(folder, list_files(folder)), series)
    slices = [check_slice(folder, header) for header in headers]
    check_alike(folder, slices)
    return stack_slices(folder, slices)
