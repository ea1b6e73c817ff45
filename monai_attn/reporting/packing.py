"""Volumes packed for a page: blocks of voxels become one voxel, values become bytes, and bytes text.

A voxel of the scan is then the mean of its block, a voxel of the labels has the label that most of the
block has, and a voxel of a map is the mean of those voxels of the block that were looked at.

HU become 256 steps, finest in the middle of the window that the network sees and wider away from it (an
inverse hyperbolic sine): any window can be chosen in the page, and soft tissue loses nothing visible.
"""

from __future__ import annotations

import math
import zlib
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from monai_attn.io.map_encoding import SLOPE, UNSEEN

Bytes = NDArray[np.uint8]
BEND = 0.5  # of the window's width: a step at its ends is 1.4 times as wide as in its middle
REACH = 8.0  # windows on either side of the middle, beyond which values are cut: metal
MAP_STEPS = 50  # a map's values are shown to 0.02


def choose_factors(
    shape: tuple[int, ...], spacing: tuple[float, ...], most: int
) -> tuple[int, int, int]:
    """Choose how many voxels become one along each axis, finest first, until at most `most` are left.

    Example:
        >>> choose_factors((512, 512, 200), (0.8, 0.8, 2.5), 16_000_000)
        (2, 2, 1)
    """
    factors = [1, 1, 1]
    while math.prod(-(-n // f) for n, f in zip(shape, factors, strict=True)) > max(most, 1):
        # an axis of one voxel cannot shrink further
        sizes = [
            s * f if f < n else math.inf for s, f, n in zip(spacing, factors, shape, strict=True)
        ]
        finest = 1.01 * min(sizes)
        factors = [f + (size <= finest) for f, size in zip(factors, sizes, strict=True)]
    x, y, z = factors
    return x, y, z


def shrink(values: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the mean of each block of voxels; the last blocks may be smaller."""
    x, y, z = factors
    starts = range(0, values.shape[2], z)
    # a few slices at a time: they stay in the processor's cache
    blocks = (values[:, :, start : start + z].mean(axis=2, dtype=np.float32) for start in starts)
    shrunk = [_block_mean(_block_mean(block, x).T, y).T for block in blocks]
    return np.stack(shrunk, axis=2).astype(np.float32, copy=False)


def shrink_labels(labels: Bytes, factors: tuple[int, int, int]) -> Bytes:
    """Return the label that most voxels of each block have, or 0 if fewer than half have any."""
    if max(factors) == 1:
        return labels
    shape = [-(-n // f) for n, f in zip(labels.shape, factors, strict=True)]
    found = np.zeros(shape, np.uint8)
    most, total = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for label, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        small = tuple(
            slice(s.start // f, -(-s.stop // f)) for s, f in zip(box, factors, strict=True)
        )
        blocks = tuple(slice(s.start * f, s.stop * f) for s, f in zip(small, factors, strict=True))
        share = shrink(labels[blocks] == label, factors)
        found[small][share > most[small]] = label
        most[small] = np.maximum(most[small], share)
        total[small] += share
    found[total < 0.5] = 0
    return found


def shrink_map(stored: Bytes, factors: tuple[int, int, int]) -> Bytes:
    """Return each block's mean over the voxels looked at, as 1 to 51; 0 if most were not looked at."""
    seen = shrink(stored != UNSEEN, factors)
    values = shrink(stored, factors) / np.maximum(seen, 1e-6)  # unseen voxels add nothing
    steps = 1 + np.rint((values - 1) * SLOPE * MAP_STEPS)
    return np.where(seen >= 0.5, steps, UNSEEN).astype(np.uint8)


def hu_levels(low: float, high: float, window: tuple[float, float]) -> tuple[float, ...]:
    """Return the HU of each of 256 bytes between two ends, finest in the middle of a window.

    Example:
        >>> levels = hu_levels(-1024, 3071, (-150, 250))
        >>> [round(levels[i + 1] - levels[i]) for i in (0, 105, 254)]
        [25, 5, 68]
    """
    middle, bend = sum(window) / 2, BEND * (window[1] - window[0])
    first, last = (math.asinh((end - middle) / bend) for end in (low, high))
    levels = middle + bend * np.sinh(np.linspace(first, last, 256))
    return tuple(round(float(level), 3) for level in levels)


def encode(values: Bytes) -> str:
    """Encode bytes (X, Y, Z), x fastest, as base64 text of their deflated differences along z.

    Differences of slices take about a fifth less than the bytes themselves, where there is most to pack.
    """
    steps = np.diff(values, axis=2, prepend=np.zeros_like(values[:, :, :1]))  # modulo 256
    return b64encode(zlib.compress(steps.tobytes(order="F"), 6)).decode("ascii")


def levels_of(image: NDArray[np.float32], window: tuple[float, float]) -> tuple[float, ...]:
    """Return the HU of each of 256 bytes for an image; the window always lies within them."""
    middle, reach = sum(window) / 2, REACH * (window[1] - window[0])
    low, high = max(float(image.min()), middle - reach), min(float(image.max()), middle + reach)
    return hu_levels(min(low, window[0]), max(high, window[1]), window)


def to_bytes(image: NDArray[np.float32], levels: tuple[float, ...]) -> Bytes:
    """Map each value to the byte of the nearest level."""
    edges = (np.array(levels[1:], np.float32) + np.array(levels[:-1], np.float32)) / 2
    coded = np.empty(image.shape, np.uint8)
    for layer, small in zip(np.moveaxis(image, -1, 0), np.moveaxis(coded, -1, 0), strict=True):
        small[:] = np.searchsorted(edges, layer)
    return coded


def _block_mean(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the mean of each block of `factor` rows; the last block may be smaller."""
    if factor == 1:
        return values
    means = values[::factor].copy()
    counts = np.ones((len(means), 1), np.float32)
    for first in range(1, factor):
        part = values[first::factor]
        means[: len(part)] += part
        counts[: len(part)] += 1
    means /= counts
    return means
