"""Grid of a scan: the position of its voxels, and the comparison of two grids.

Space: voxel (i, j, k) lies at `affine @ (i, j, k, 1)` millimetres in RAS+ patient space.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from numpy.typing import NDArray

from monai_attn.io.affine import most_askew, right_angled

GRID_TOLERANCE = 1e-3  # mm; float32 headers round by far less, a shifted grid differs by far more
APART = 0.5  # of the smallest voxel edge, by which two forms of one grid may differ: quaternions are coarse
ITK_ASKEW = 1e-4  # cosine between two axes up to which ITK 5.4 opens a header


@dataclass(frozen=True)
class Grid:
    """Shape and affine of a scan: the positions of its voxels.

    Attributes:
        shape: (X, Y, Z) voxels.
        affine: (4, 4) float64, voxel to RAS+ millimetres.
        form_code: the NIfTI code of the space the affine leads to, such as 1 for the scanner's; 0
            where the header holds no affine and nibabel's is a guess.
        path: the scan's file, or its DICOM folder.
        trailing: number of axes of one voxel after these three, which a label map has too.
        qform: (4, 4) the file's qform, if it differs from the affine: programs that use it see the scan
            there, and must see the labels there too.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    form_code: int
    path: Path
    trailing: int = field(default=0, kw_only=True)
    qform: NDArray[np.float64] | None = field(default=None, kw_only=True)


def grid_offset(
    shape: tuple[int, ...], affine: NDArray[np.float64], other: NDArray[np.float64]
) -> float:
    """Return the largest distance in mm between the corners of a (X, Y, Z) grid under two affines."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[:3]])).reshape(3, -1).T
    offsets = apply_affine(affine, corners) - apply_affine(other, corners)
    return float(np.linalg.norm(offsets, axis=1).max())


def same_grid(
    shape: tuple[int, ...], affine: NDArray[np.float64], other: NDArray[np.float64]
) -> bool:
    """Check whether two affines put every corner of a (X, Y, Z) grid in the same place, to 1e-3 mm."""
    return grid_offset(shape, affine, other) <= GRID_TOLERANCE


def rounded_axes(grid: Grid) -> str:
    """Return a doubt if the axes of a grid are not at right angles by rounding, else an empty text.

    ITK refuses such axes in an sform. Axes that are sheared further are those of a tilted gantry.
    """
    apart = grid_offset(grid.shape, grid.affine, right_angled(grid.affine))
    if most_askew(grid.affine) <= ITK_ASKEW or apart > APART * voxel_sizes(grid.affine).min():
        return ""
    return (
        f"its axes are rounded and not at right angles, {apart:.2g} mm off in the corners. Programs with ITK "
        "may refuse it; they read its label map, whose qform has right angles"
    )


def voxel_ml(affine: NDArray[np.float64]) -> float:
    """Return the volume of one voxel in millilitres."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000
