"""Distances between two surfaces: MONAI's surface metrics of one label in one case.

The surface of a label consists of its voxels with a face to the outside; the edge of the array counts as
outside. Distances are between the centres of such voxels, each to the nearest one of the other surface, in
millimetres along the axes of the array: exact if these are at right angles.

MONAI finds the surfaces and their distances. Its metrics of a whole case (`compute_surface_dice` and two
more) would each do so again; the scores here come from the same distances, computed once, and the tests
compare them with MONAI's. In the scoring, only this module needs torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.utils import get_edge_surface_distance
from scipy.ndimage import find_objects

TOLERANCE_MM = 2.0  # of the surface Dice: about what two readers differ by at a soft organ's edge
PERCENTILE = 95  # of the Hausdorff distance: a few stray voxels do not decide it


@dataclass(frozen=True)
class SurfaceScore:
    """Distances in mm, and the share of both surfaces that lies within 2 mm of the other."""

    surface_distance_mm: float
    hd95_mm: float
    nsd_2mm: float


def surface_score(
    predicted: np.ndarray, expected: np.ndarray, spacing: Sequence[float]
) -> SurfaceScore:
    """Compare the surfaces of two masks on one grid.

    Args:
        predicted: bool, shape (X, Y, Z), not empty.
        expected: bool, shape (X, Y, Z), not empty.
        spacing: voxel size along each axis, mm.

    Raises:
        ValueError: if a mask is empty: it has no surface.

    Example:
        >>> expected = np.zeros((4, 8, 8), bool)
        >>> expected[1:3] = True
        >>> surface_score(np.roll(expected, 1, axis=0), expected, (3, 1, 1)).hd95_mm
        3.0
    """
    if not (predicted.any() and expected.any()):
        raise ValueError("an empty mask has no surface (expected voxels in both masks)")
    # A surface only depends on the voxels next to it, and both labels lie within this box.
    (box,) = find_objects((predicted | expected).view(np.uint8))
    masks = [torch.from_numpy(mask[box].copy()) for mask in (predicted, expected)]
    # A float32 affine is inexact in the seventh digit, which must not decide the tolerance of 2 mm.
    sizes = [float(f"{size:.6g}") for size in spacing]
    with warnings.catch_warnings():
        # MONAI warns about an argument that it passes to itself
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        _, directed_distances, _ = get_edge_surface_distance(*masks, spacing=sizes, symmetric=True)
    there, back = (distances.numpy() for distances in directed_distances)
    both = np.concatenate([there, back])
    return SurfaceScore(
        surface_distance_mm=float(both.mean(dtype=np.float64)),
        hd95_mm=float(max(np.percentile(way, PERCENTILE) for way in (there, back))),
        nsd_2mm=float((both <= TOLERANCE_MM).mean()),
    )
