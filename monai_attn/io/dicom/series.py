"""A CT series in a folder of DICOM files: its slices in order, on their grid, from the headers.

Space: DICOM gives the position of each slice's first voxel and the directions of its rows and columns
in LPS+ millimetres (PS3.3 C.7.6.2.1.1); the grid leads to RAS+, so x and y change sign.

SimpleITK's own series reader sorts and places slices too, but it returns a volume that is too short or
too long if a slice is missing or doubled, and an unsheared one if the gantry was tilted.
"""

from __future__ import annotations

from pathlib import Path

from monai_attn.io.dicom.headers import choose, series_headers
from monai_attn.io.dicom.slices import check_alike, check_slice
from monai_attn.io.dicom.stack import Stack, stack_slices


def stack_series(folder: Path, series: str | None = None) -> Stack:
    """Read the headers of a series and put its slices in order; no voxel is decoded.

    Args:
        folder: holds the files, one slice in each; other files, hidden ones, other modalities and
            folders in it are ignored.
        series: its SeriesInstanceUID, where there are several.

    Returns:
        The slices on their grid (columns, rows, slices), whose affine is sheared if the gantry was tilted.

    Raises:
        ValueError: one line that names the folder, the file if one is at fault, and the remedy.
    """
    headers = choose(folder, series_headers(folder), series)
    slices = [check_slice(folder, header) for header in headers]
    check_alike(folder, slices)
    return stack_slices(folder, slices)
