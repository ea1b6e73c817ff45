"""Axes in another order or direction: the same voxels in the same places, stored differently.

Space: voxel (i, j, k) lies at `affine @ (i, j, k, 1)` millimetres in RAS+ patient space.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from nibabel.orientations import aff2axcodes, apply_orientation, inv_ornt_aff
from numpy.typing import NDArray

from monai_attn.io.grid import Grid, same_grid
from monai_attn.io.volume import Volume

AS_STORED = np.array([[0, 1], [1, 1], [2, 1]])


def axis_order(grid: Grid, like: Grid) -> NDArray[np.intp] | None:
    """Find the order and direction of axes in which a grid is that of another one.

    Returns:
        (3, 2) for each axis the axis it becomes, and -1 if it is flipped, as nibabel's orientations; None if
        no order makes one grid of the two, to 1e-3 mm.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> ras = Grid((4, 3, 2), np.eye(4), 1, Path("a.nii"))
        >>> flipped = np.array([[-1.0, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        >>> axis_order(Grid((4, 3, 2), flipped, 1, Path("b.nii")), ras)
        array([[ 0, -1],
               [ 1,  1],
               [ 2,  1]])
    """
    # voxel of one grid to voxel of the other, up to a shift: a signed permutation if they are the same
    change = np.linalg.solve(like.affine[:3, :3], grid.affine[:3, :3])
    axes = np.abs(change).argmax(axis=0)
    if sorted(axes) != [0, 1, 2]:
        return None
    order = np.stack([axes, np.sign(change[axes, range(3)]).astype(int)], axis=1)
    shape = tuple(grid.shape[int(i)] for i in np.argsort(axes))
    affine = grid.affine @ inv_ornt_aff(order, grid.shape)
    return order if shape == like.shape and same_grid(shape, affine, like.affine) else None


def reordered(volume: Volume, like: Grid) -> Volume:
    """Return a volume in the order of axes of a grid, without interpolation; unchanged if it has none.

    Args:
        volume: voxels (X, Y, Z).
        like: the grid, usually that of a scan.
    """
    order = axis_order(volume, like)
    if order is None or (order == AS_STORED).all():
        return volume
    data = np.ascontiguousarray(apply_orientation(volume.data, order))
    return replace(volume, data=data, shape=data.shape, affine=like.affine, qform=None)


def order_doubt(grid: Grid, like: Grid) -> str:
    """Return one line that says that a grid has another order of axes, or an empty text."""
    order = axis_order(grid, like)
    if order is None or (order == AS_STORED).all():
        return ""
    axes, expected = ("".join(aff2axcodes(one.affine)) for one in (grid, like))
    return (
        f"{grid.path}: stored with other axes than {like.path} ({axes} instead of {expected}); reordered "
        "without interpolation"
    )
