"""Resampling from grid to grid: one axis at a time if their axes are parallel.

Reorienting a scan and changing its spacing keep the direction of every axis, even of an oblique scan. The
trilinear sum over eight neighbours then becomes three sums over two, which gives the same values up to
rounding in a fraction of the time. Only a sheared scan (a tilted gantry) is sampled voxel by voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

PARALLEL = 1e-3  # voxels that a parallel axis may deviate over the whole grid
CHUNK = 2**24  # bytes that are read or written at a time, whichever is more


@dataclass(frozen=True)
class Axis:
    """The positions of the voxels of a new axis: `start + step * i` along axis `source` of the old grid."""

    source: int
    start: float
    step: float
    size: int

    def part(self, first: int, last: int) -> Axis:
        """Return the axis with only the voxels from `first` to `last - 1`."""
        return replace(self, start=self.start + first * self.step, size=last - first)

    def coordinates(self, size: int) -> NDArray[np.float64]:
        """Return the positions along a source axis of `size` voxels, clipped to it."""
        return np.clip(self.start + self.step * np.arange(self.size), 0, size - 1)


def parallel_axes(matrix: NDArray[np.float64], shape: Sequence[int]) -> tuple[Axis, ...] | None:
    """Describe the map from a new grid to the old one axis by axis; None if it rotates or shears.

    Args:
        matrix: (n + 1, n + 1), voxel of the new grid to voxel of the old grid.
        shape: voxels of the new grid.
    """
    turn, start = matrix[:-1, :-1], matrix[:-1, -1]
    sources = np.abs(turn).argmax(axis=0)
    steps = turn[sources, range(len(shape))]
    straight = np.zeros_like(turn)
    straight[sources, range(len(shape))] = steps
    stray = np.abs(turn - straight) @ np.asarray(shape)
    if len(set(sources.tolist())) < len(shape) or stray.max() > PARALLEL:
        return None
    return tuple(
        Axis(int(source), float(start[source]), float(step), int(size))
        for source, step, size in zip(sources, steps, shape, strict=True)
    )


def resample_onto(
    volume: Tensor, matrix: NDArray[np.float64], shape: Sequence[int], mode: str = "bilinear"
) -> Tensor:
    """Resample a volume (C, X, Y, Z) onto another grid of any direction.

    Args:
        volume: (C, X, Y, Z).
        matrix: (4, 4), voxel of the new grid to voxel of the old grid.
        shape: voxels of the new grid.
        mode: as for `resample`.
    """
    axes = parallel_axes(matrix, shape)
    if axes is not None:
        return resample(volume, axes, mode)
    out = volume.new_empty((len(volume), *shape), dtype=torch.float32)
    thick = max(1, CHUNK // (4 * out[..., 0].numel()))
    for first in range(0, shape[2], thick):
        last = min(first + thick, shape[2])
        voxels = np.indices((shape[0], shape[1], last - first)).reshape(3, -1)
        voxels[2] += first
        places = matrix[:3, :3] @ voxels + matrix[:3, 3:]
        ends = np.maximum(np.array(volume.shape[1:]) - 1, 1)[:, None]
        where = torch.as_tensor(2 * places / ends - 1, dtype=torch.float32, device=volume.device)
        where = where.flip(0).T.reshape(1, shape[0], shape[1], last - first, 3)
        out[..., first:last] = F.grid_sample(
            volume[None].float(), where, mode, padding_mode="border", align_corners=True
        )[0]
    return out if mode == "bilinear" else out.to(volume.dtype)


def resample(volume: Tensor, axes: Sequence[Axis], mode: str = "bilinear") -> Tensor:
    """Resample a volume at the voxels of the new grid; beyond its edge the edge is repeated.

    Args:
        volume: (C, *spatial).
        axes: the new grid, as returned by `parallel_axes`.
        mode: "bilinear", linear along every axis, or "nearest".

    Returns:
        (C, *new spatial), with the type and the device of the volume; float32 if linear and the volume
        holds integers.

    Raises:
        ValueError: if the mode is unknown.
    """
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"mode (={mode!r}) must be 'bilinear' or 'nearest'")
    linear = mode == "bilinear"
    dtype = torch.float32 if linear and not volume.is_floating_point() else volume.dtype
    # slowest axis in memory first: then a chunk is contiguous, and so is each of its rows
    order = sorted(range(len(axes)), key=lambda i: -volume.stride(1 + axes[i].source))
    sorted_axes = [axes[i] for i in order]
    turned = volume.permute(0, *(1 + axis.source for axis in sorted_axes))
    out = volume.new_empty((len(volume), *(axis.size for axis in axes)), dtype=dtype)
    target = out.permute(0, *(1 + i for i in order))
    count = sorted_axes[0].size
    thick = max(1, CHUNK * count // max(1, 4 * max(out.numel(), volume.numel())))
    for first in range(0, count, thick):
        last = min(first + thick, count)
        part = [sorted_axes[0].part(first, last), *sorted_axes[1:]]
        target[:, first:last] = _chunk(turned, part, linear, dtype)
    return out


def _chunk(turned: Tensor, axes: Sequence[Axis], linear: bool, dtype: torch.dtype) -> Tensor:
    """Resample one chunk from only the part of the volume that it needs."""
    places = []
    for i, axis in enumerate(axes):
        where = axis.coordinates(turned.shape[1 + i])
        low, high = int(np.floor(where.min())), int(np.ceil(where.max()))
        turned = turned.narrow(1 + i, low, high - low + 1)
        places.append(where - low)
    turned = turned.to(dtype)
    # the axis that shrinks most comes first: then less is left for the others
    for i in sorted(range(len(axes)), key=lambda i: axes[i].size / turned.shape[1 + i]):
        turned = _along(turned, 1 + i, places[i], linear)
    return turned


def _along(volume: Tensor, dim: int, where: NDArray[np.float64], linear: bool) -> Tensor:
    """Resample the volume at these positions along one axis."""
    if np.array_equal(where, np.arange(volume.shape[dim])):
        return volume
    low = np.floor(where) if linear else np.rint(where)
    above_low = where - low
    index = torch.as_tensor(low.astype(np.int64), device=volume.device)
    below = _take(volume, dim, index)
    if not linear or not above_low.any():
        return below
    share = torch.as_tensor(above_low, dtype=volume.dtype, device=volume.device)
    above = _take(volume, dim, (index + 1).clamp(max=volume.shape[dim] - 1))
    shape = [1] * volume.ndim
    shape[dim] = -1
    return torch.lerp(below, above, share.view(shape))


def _take(volume: Tensor, dim: int, index: Tensor) -> Tensor:
    """Select entries along one axis; along the last axis a gather is several times faster on a CPU."""
    if dim < volume.ndim - 1:
        return volume.index_select(dim, index)
    return volume.gather(dim, index.expand(*volume.shape[:-1], len(index)))
