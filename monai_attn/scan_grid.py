"""From logits on the network's grid to labels on the scan's grid, slab by slab.

Probabilities are resampled, not labels: the boundary stays smooth. A voxel of the scan can be
foreground only where a neighbour on the network's grid is, because no weighted mean of places where
background is the largest makes another class larger. So only the boxes that hold such voxels are
resampled, the argmax is taken at once, and neither grid ever carries one float for each class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_attn.resample import Axis, parallel_axes, resample

CHUNK = 2**26  # bytes of probabilities on the scan's grid at a time
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Slab:
    """Logits of one stretch of the network's grid.

    Attributes:
        box: where it lies, a slice for each axis.
        logits: (C, *box).
    """

    box: Box
    logits: Tensor


def labels_on_grid(
    slabs: Iterable[Slab],
    size: Sequence[int],
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    axis: int = 0,
) -> NDArray[np.integer]:
    """The label of each voxel of the scan.

    Args:
        slabs: one after the other along `axis` without gaps, alike along the other axes. Where they do
            not reach there is background, and so is their outermost layer, unless the grid ends there.
        size: voxels of the network's grid.
        matrix: (4, 4), voxel of the scan to voxel of the network's grid; the axes must be parallel.
        shape: (X, Y, Z) voxels of the scan.
        axis: the axis of the network's grid along which the slabs follow each other.

    Returns:
        (X, Y, Z), x fastest in memory as in a NIfTI file; uint8, or uint16 for more than 256 classes.

    Raises:
        ValueError: if the axes of the two grids are not parallel.
    """
    axes = parallel_axes(matrix, shape)
    where = [axis.coordinates(size[axis.source]) for axis in axes]
    labels: NDArray[np.integer] = np.zeros(shape, np.uint8, order="F")
    before: Slab | None = None
    for slab in slabs:
        if len(slab.logits) > 256 and labels.dtype == np.uint8:
            labels = labels.astype(np.uint16, order="F")
        # what lies between two slabs needs the last layer of the first
        _fill(labels, slab if before is None else _join(before, slab, axis), axes, where)
        before = _last_layer(slab, axis)
    return labels


def _last_layer(slab: Slab, axis: int) -> Slab:
    box = list(slab.box)
    box[axis] = slice(box[axis].stop - 1, box[axis].stop)
    return Slab(tuple(box), slab.logits.narrow(1 + axis, -1, 1).clone())


def _join(first: Slab, second: Slab, axis: int) -> Slab:
    box = list(second.box)
    box[axis] = slice(first.box[axis].start, second.box[axis].stop)
    return Slab(tuple(box), torch.cat([first.logits, second.logits], dim=1 + axis))


def _fill(
    labels: NDArray[np.integer],
    slab: Slab,
    axes: Sequence[Axis],
    where: Sequence[NDArray[np.float64]],
) -> None:
    """Write the labels of the voxels whose neighbours all lie in the slab, if one can be foreground."""
    bounds = _bounds(slab.logits[1:].amax(dim=0) > slab.logits[0]) if len(slab.logits) > 1 else None
    if bounds is None:
        return
    crop, near, target = [], list(axes), list(axes)
    for part, box in zip(bounds, slab.box, strict=True):  # with one layer of neighbours
        crop.append(slice(max(part.start - 1, 0), min(part.stop + 1, box.stop - box.start)))
    for i, axis in enumerate(axes):
        first = slab.box[axis.source].start + crop[axis.source].start
        last = slab.box[axis.source].start + crop[axis.source].stop - 1
        inside = np.flatnonzero((where[i] >= first) & (where[i] <= last))
        if not len(inside):
            return
        start, stop = int(inside[0]), int(inside[-1]) + 1
        target[i] = slice(start, stop)
        part = axis.part(start, stop)
        near[i] = replace(part, start=part.start - first)
    values = _margin(slab.logits[(slice(None), *crop)])
    thick = max(1, CHUNK // (4 * len(values) * max(1, near[0].size * near[1].size)))
    for first in range(0, near[2].size, thick):
        last = min(first + thick, near[2].size)
        part = resample(values, [near[0], near[1], near[2].part(first, last)])
        at = target[2].start
        box = (target[0], target[1], slice(at + first, at + last))
        labels[box] = _label(part).cpu().numpy()


def _bounds(mask: Tensor) -> Box | None:
    """The smallest box that holds every True, or None."""
    box = []
    for axis in range(mask.ndim):
        others = [other for other in range(mask.ndim) if other != axis]
        found = torch.nonzero(mask.any(dim=others)).flatten()
        if not len(found):
            return None
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(box)


def _margin(logits: Tensor) -> Tensor:
    """What is resampled: a probability for each class, or of two classes the difference alone."""
    probabilities = logits.float().softmax(dim=0)
    return probabilities[1:] - probabilities[:1] if len(logits) == 2 else probabilities


def _label(values: Tensor) -> Tensor:
    return values[0] > 0 if len(values) == 1 else values.argmax(dim=0)
