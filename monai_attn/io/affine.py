"""Checks of an affine: it must be finite and invertible, with a spacing that a scanner can produce."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

SINGULAR = 1e-6  # voxel volume over the product of its edges; below this the edges lie in one plane
SMALLEST, LARGEST = 0.05, 20.0  # mm; finer is microscopy or metres, coarser is no scan of an organ
FARTHEST = 1e6  # mm from the origin; a float32 header still resolves 0.06 mm there
SHEAR = 1e-3  # cosine between two axes; float32 headers stay far below


@np.errstate(all="ignore")  # values that overflow or are divided by zero are refused below
def check_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Refuse an affine (4, 4), voxel to mm, that cannot place a volume in space.

    Raises:
        ValueError: one line that names the file.
    """
    rows = affine[:3].round(4).tolist()
    if not np.isfinite(affine).all():
        raise ValueError(
            f"{path}: the affine is not finite: {rows}; export it again with a valid header"
        )
    spacing = voxel_sizes(affine)
    if not abs(np.linalg.det(affine[:3, :3])) > SINGULAR * np.prod(spacing):  # or both are 0
        raise ValueError(
            f"{path}: the affine is singular: {rows}; export it again with a valid header"
        )
    if spacing.min() < SMALLEST or spacing.max() > LARGEST:
        raise ValueError(
            f"{path}: spacing {spaced(spacing)} mm (expected {SMALLEST} to {LARGEST:g}); "
            "are the units wrong? export it again in mm"
        )
    if np.abs(affine[:3, 3]).max() > FARTHEST:
        raise ValueError(
            f"{path}: the first voxel is at {spaced(affine[:3, 3])} mm (expected at most {FARTHEST:g} from "
            "the origin); export it again with a valid header"
        )


def most_askew(affine: NDArray[np.float64]) -> float:
    """Return the largest cosine between two axes: 0 at right angles."""
    axes = affine[:3, :3] / voxel_sizes(affine)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def right_angled(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine with the nearest axes at right angles, and the same spacing and first voxel."""
    spacing = voxel_sizes(affine)
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    straight = affine.copy()
    straight[:3, :3] = left @ right * spacing
    return straight


def shear_warning(affine: NDArray[np.float64]) -> str:
    """Return a warning if the axes of a sound affine are not at right angles, else an empty text."""
    cosine = most_askew(affine)
    if cosine <= SHEAR:
        return ""
    degrees = np.degrees(np.arcsin(min(1.0, cosine)))
    return (
        f"its axes are sheared by {degrees:.2g} degrees (gantry tilt?); resampled to straight ones"
    )


def spaced(sizes: NDArray[np.float64]) -> str:
    """Format sizes along the axes, such as "0.8 x 0.8 x 2.5"."""
    return " x ".join(f"{size:.4g}" for size in sizes)
