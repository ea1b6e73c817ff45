"""One CT series in a folder of DICOM files: where its voxels lie, and their HU.

Space: DICOM gives the position of each slice's first voxel and the directions of its rows and columns
in LPS+ millimetres (PS3.3 C.7.6.2.1.1); the grid leads to RAS+, so x and y change sign.

SimpleITK's own series reader sorts and places slices too, but where one is missing or doubled it
returns a volume that is too short or too long, and where the gantry was tilted a straight one.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.data.dicom.files import list_files
from monai_attn.data.dicom.headers import INTERCEPT, SLOPE, choose, read_headers
from monai_attn.data.dicom.slices import check_alike, check_slice
from monai_attn.data.dicom.stack import Stack, pile
from monai_attn.data.dicom.voxels import read_voxels
from monai_attn.data.errors import ScanWarning
from monai_attn.data.grid import Grid


def series_files(folder: Path, series: str | None = None) -> list[Path]:
    """The files of the one CT series in a folder, in the order of the grid's slices.

    Raises:
        ValueError: as `series_grid`.
    """
    return [slice_.header.file.path for slice_ in _plan(folder, series).slices]


def series_grid(folder: Path, *, series: str | None = None) -> Grid:
    """Where the voxels of a series lie, from the headers alone; no voxel is decoded.

    Args:
        folder: holds the files, one slice in each; other files, hidden ones, other modalities and
            folders in it do not matter.
        series: its SeriesInstanceUID, where there are several.

    Returns:
        The grid (columns, rows, slices). Its affine is sheared where the gantry was tilted.

    Raises:
        ValueError: one line that names the folder, the file at fault if it is one, and the remedy.
    """
    return _plan(folder, series).grid


def read_series(folder: Path, *, series: str | None = None) -> tuple[Grid, NDArray[np.float32]]:
    """The grid of a series and its voxels (X, Y, Z), scaled slice by slice to HU.

    Values without a scale are warned of.

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
    """From the headers to the order of the slices and their grid."""
    headers = choose(folder, read_headers(folder, list_files(folder)), series)
    slices = [check_slice(folder, header) for header in headers]
    check_alike(folder, slices)
    return pile(folder, slices)
