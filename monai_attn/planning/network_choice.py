"""Choice of a grid, a window on it and a network for the window, and the memory for their training.

The rules follow the published heuristics of nnU-Net (Isensee et al., "nnU-Net: a self-configuring method
for deep learning-based biomedical image segmentation", Nature Methods 18, 2021); where they differ, the
window has priority over the resolution: it should hold a whole structure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_attn.planning.fingerprint import Fingerprint

ANISOTROPIC = 3.0  # an axis more than this many times coarser does not take its median spacing
COARSEST = 3.0  # mm to which axes may be coarsened; more blurs the borders of organs
WINDOWS_PER_SCAN = (
    16  # voxels of a scan, in windows, at most; an overlap of one half runs 8 times as many windows
)
BOTTOM = 4  # voxels left along an axis at the coarsest level
FIRST, WIDEST = 16, 320  # channels of the finest level, doubled at each further one, and the limit
MOST_LEVELS = 6  # 16 to 320 channels
FINER = 0.97  # ratio of a window's size to that of the one tried before
# Bytes of a training step, from the peak of a process on the CPU in bfloat16 autocast, deep supervision
# and the loss included: 26 to 34 for each voxel of a window and each feature that it has on all levels
# together (64 to 96 voxels an edge, 2 and 4 windows), 22 for each class; a weight is kept in float32 with
# its gradient and two moments of AdamW, and in bfloat16.
FEATURE_BYTES, CLASS_BYTES, WEIGHT_BYTES = 34, 22, 18
CHANNEL_BYTES = (
    12  # of each further input channel for each voxel: float32, its copies on the way there
)
FLOAT_BYTES = (
    4  # on disk, for each voxel of a case and channel: the image is float32, the label a byte
)


@dataclass(frozen=True)
class NetworkChoice:
    """Grid, window and network of a plan.

    Attributes:
        spacing: (3,) mm of the grid.
        grid: (3,) voxels of the median scan.
        roi_size: (dims,) voxels of a window.
        strides: from each level to the next, (dims,) each.
        in_channels: channels of the network's input.
        coarsened: whether the grid is coarser than the scans, so that a window holds enough.
    """

    spacing: tuple[float, ...]
    grid: tuple[int, ...]
    roi_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    coarsened: bool = False
    in_channels: int = 1

    @property
    def channels(self) -> tuple[int, ...]:
        """Feature channels of each level, finest first."""
        return tuple(min(FIRST * 2**level, WIDEST) for level in range(len(self.strides) + 1))

    @property
    def features(self) -> float:
        """Features for each voxel of a window, summed over all levels."""
        shares = np.cumprod([1, *[1 / math.prod(stride) for stride in self.strides]])
        return float(np.dot(self.channels, shares))

    @property
    def weights(self) -> int:
        """Approximate number of weights: those of the convolutions, without the gates' few per cent."""
        kernel = 3 ** len(self.roi_size)
        channels = self.channels
        down = sum(
            a * b + b * b for a, b in zip((self.in_channels, *channels), channels, strict=False)
        )
        up = sum(3 * a * a for a in channels[:-1])
        return kernel * (down + up)

    def step_bytes(self, windows: int, classes: int) -> int:
        """Estimate the memory of one training step in bytes."""
        voxels = windows * math.prod(self.roi_size)
        per_voxel = FEATURE_BYTES * self.features + CLASS_BYTES * classes
        per_voxel += CHANNEL_BYTES * (self.in_channels - 1)
        return int(voxels * per_voxel) + WEIGHT_BYTES * self.weights

    def cache_bytes(self, cases: int) -> int:
        """Estimate the disk space of preprocessed cases in bytes."""
        return (FLOAT_BYTES * self.in_channels + 1) * cases * math.prod(self.grid)


def choose_network(
    fingerprint: Fingerprint, voxels: int, dims: int = 3, in_channels: int = 1
) -> NetworkChoice:
    """Choose the grid, the window of at most `voxels` voxels and the network for a data set.

    Args:
        fingerprint: fingerprint of the data set.
        voxels: the largest number of voxels of a window.
        dims: 3, or 2 for windows in axial slices.
        in_channels: channels of the network's input.

    Raises:
        ValueError: if the scans are too small for a network of two levels.
    """
    target = target_spacing(fingerprint.spacings, dims)
    spacing = _affordable(target, fingerprint, voxels, dims)
    grid = np.maximum(1, np.rint(fingerprint.field_mm / spacing)).astype(int)
    box = np.minimum(grid, np.ceil(fingerprint.structure_mm / spacing).astype(int))
    ones = np.ones(dims, dtype=int)
    rough = window(spacing[:dims], box[:dims], grid[:dims], voxels, ones)
    strides = strides_for(rough, spacing[:dims])
    if not strides:
        size = " x ".join(str(n) for n in grid)
        raise ValueError(
            f"the median scan is too small (got {size} voxels at {_mm(spacing)} mm, expected "
            f"{2 * BOTTOM} or more along an axis). Give whole scans."
        )
    roi_size = window(spacing[:dims], box[:dims], grid[:dims], voxels, np.prod(strides, axis=0))
    holds_structure = (np.array(rough) >= box[:dims]).all()
    while holds_structure and len(strides) > 2 and (np.array(roi_size) < box[:dims]).any():
        strides = strides[:-1]  # rounding to multiples made the window too small
        roi_size = window(spacing[:dims], box[:dims], grid[:dims], voxels, np.prod(strides, axis=0))
    return NetworkChoice(
        spacing=tuple(spacing.tolist()),
        grid=tuple(grid.tolist()),
        roi_size=roi_size,
        strides=strides,
        coarsened=bool((spacing > target).any()),
        in_channels=in_channels,
    )


def target_spacing(spacings: Sequence[Sequence[float]], dims: int = 3) -> NDArray[np.float64]:
    """Return the median spacing (3,) in mm; for a far coarser axis in 3D, take its 10th percentile.

    This keeps the detail of thin slices, and is never finer than the other axes. In 2D the median holds for
    all axes, so that slices are interpolated no more than necessary.
    """
    middle = np.median(spacings, axis=0)
    coarse = int(middle.argmax())
    if dims == 3 and middle.max() > ANISOTROPIC * middle.min():
        others = np.delete(middle, coarse).max()
        middle[coarse] = max(others, np.percentile(np.asarray(spacings)[:, coarse], 10))
    return np.round(middle, 2)


def window(
    spacing: NDArray[np.float64],
    box: NDArray[np.integer],
    grid: NDArray[np.integer],
    voxels: int,
    multiple: NDArray[np.integer],
) -> tuple[int, ...]:
    """Return the largest window of at most `voxels` voxels: a cube in mm, no axis longer than the scan.

    It holds the box, if there are enough voxels. Sizes are multiples of `multiple`, at least 4 times it along
    axes that the network halves.
    """
    least = np.minimum(box, grid).astype(float)
    edge = float((grid * spacing).max())
    while True:
        size = np.minimum(np.maximum(edge / spacing, least), grid)
        size = np.maximum(np.ceil(size / multiple), np.where(multiple > 1, BOTTOM, 1)) * multiple
        if math.prod(size) <= voxels:
            return tuple(int(n) for n in size)
        if edge > (least * spacing).min():
            edge *= FINER
        else:  # the box itself is too large
            least *= FINER


def strides_for(
    size: Sequence[int], spacing: Sequence[float] | NDArray[np.float64]
) -> tuple[tuple[int, ...], ...]:
    """Halve axes level by level while 4 voxels remain: those within a factor 2 of the finest spacing."""
    sizes, steps = list(size), list(spacing)
    strides: list[tuple[int, ...]] = []
    while len(strides) < MOST_LEVELS - 1:
        able = [n >= 2 * BOTTOM for n in sizes]
        if not any(able):
            break
        finest = min(mm for mm, can in zip(steps, able, strict=True) if can)
        stride = tuple(
            2 if can and mm <= 2 * finest else 1 for mm, can in zip(steps, able, strict=True)
        )
        sizes = [n // by for n, by in zip(sizes, stride, strict=True)]
        steps = [mm * by for mm, by in zip(steps, stride, strict=True)]
        strides.append(stride)
    return tuple(strides)


def _affordable(
    target: NDArray[np.float64], fingerprint: Fingerprint, voxels: int, dims: int
) -> NDArray[np.float64]:
    """Coarsen the finest axes first, until a window holds a structure and a scan few windows."""

    def fits(spacing: NDArray[np.float64]) -> bool:
        structure, field = (
            math.prod((mm / spacing)[:dims])
            for mm in (fingerprint.structure_mm, fingerprint.field_mm)
        )
        return structure <= voxels and field <= WINDOWS_PER_SCAN * voxels

    spacing, least = target, float(target[:dims].min())
    while not fits(spacing) and least < COARSEST:
        least = min(COARSEST, least / FINER)
        spacing = target.copy()
        spacing[:dims] = np.maximum(target[:dims], round(least, 2))
    return spacing


def _mm(spacing: Sequence[float] | NDArray[np.float64]) -> str:
    return " x ".join(f"{mm:g}" for mm in spacing)
