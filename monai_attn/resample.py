"""Resampling from grid to grid: where their axes are parallel, one axis at a time.

Reorienting a scan and changing its spacing move no axis out of its direction, however oblique the scan
lies. The trilinear sum over eight neighbours is then three sums over two, which is the same up to
rounding and takes a fraction of the time. Only a sheared scan, of a tilted gantry, is looked up voxel by
voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

PARALLEL = 1e-3  # voxels that an axis may stray over the grid's whole length and count as parallel
CHUNK = 2**24  # bytes that are read or made at a time, whichever is more


@dataclass(frozen=True)
class Axis:
    """Where the voxels of one axis of the new grid lie: `start + step * i` along axis `source`."""

    source: int
    start: float
    step: float
    size: int

    def part(self, first: int, last: int) -> Axis:
        """The voxels from first to before last."""
        return replace(self, start=self.start + first * self.step, size=last - first)

    def coordinates(self, size: int) -> NDArray[np.float64]:
        """Along a source axis of `size` voxels; outside of it the nearest voxel counts."""
        return np.clip(self.start + self.step * np.arange(self.size), 0, size - 1)


def parallel_axes(matrix: NDArray[np.float64], shape: Sequence[int]) -> tuple[Axis, ...] | None:
    """Describe the way from a new grid to the old one axis by axis, or None if it turns or shears.

    Args:
        matrix: (n + 1, n + 1), voxel of the new grid to voxel of the old.
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
    """A volume (C, X, Y, Z) on another grid of any direction.

    Args:
        volume: (C, X, Y, Z).
        matrix: (4, 4), voxel of the new grid to voxel of the old.
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
    """The volume at the voxels of the new grid; beyond its edge the edge goes on.

    Args:
        volume: (C, *spatial).
        axes: the new grid, as `parallel_axes` describes it.
        mode: "bilinear", linear along every axis, or "nearest".

    Returns:
        (C, *new spatial), of the volume's type and on its device; float32 if linear and the volume holds
        whole numbers.
    """
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"mode (={mode!r}) must be 'bilinear' or 'nearest'")
    linear = mode == "bilinear"
    dtype = torch.float32 if linear and not volume.is_floating_point() else volume.dtype
    # slowest in memory first: a chunk is then one stretch of it, and so is each of its rows
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
    """One chunk, from no more of the volume than it needs."""
    places = []
    for i, axis in enumerate(axes):
        where = axis.coordinates(turned.shape[1 + i])
        low, high = int(np.floor(where.min())), int(np.ceil(where.max()))
        turned = turned.narrow(1 + i, low, high - low + 1)
        places.append(where - low)
    turned = turned.to(dtype)
    # what shrinks most goes first: the next axes then have less to do
    for i in sorted(range(len(axes)), key=lambda i: axes[i].size / turned.shape[1 + i]):
        turned = _along(turned, 1 + i, places[i], linear)
    return turned


def _along(volume: Tensor, dim: int, where: NDArray[np.float64], linear: bool) -> Tensor:
    """The volume at these places along one axis."""
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
    """Entries along one axis; along the last one a gather is several times faster on a CPU."""
    if dim < volume.ndim - 1:
        return volume.index_select(dim, index)
    return volume.gather(dim, index.expand(*volume.shape[:-1], len(index)))
