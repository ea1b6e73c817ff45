"""Conversion of logits on the network's grid to labels on the scan's grid, slab by slab.

Probabilities are resampled, not labels: the boundary stays smooth. A voxel of the scan can only be
foreground if a neighbour on the network's grid is, because a weighted mean of voxels whose largest class
is the background has the background as its largest class too. So only the boxes that hold such voxels
are resampled, the argmax is taken at once, and neither grid ever holds one float for each class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_attn.io.map_encoding import UNSEEN, to_steps
from monai_attn.transforms.resample import Axis, parallel_axes, resample, resample_onto

BACKGROUND = 20.0  # the logit of background where no window ran: a probability of 1 - 4e-18
CHUNK = 2**26  # bytes of probabilities on the scan's grid that are held at a time
Box = tuple[slice, ...]


def within(box: Sequence[slice]) -> tuple[slice, ...]:
    """Return the index of a box in every channel of a (C, *spatial) tensor."""
    return (slice(None), *box)


@dataclass(frozen=True)
class Slab:
    """A network's outputs for one slab of its grid.

    Attributes:
        box: its position, a slice for each axis.
        logits: (C, *box).
        maps: its further outputs, such as attention, each (K, *box).
        seen: (1, *box) bool, True where a window ran; None for everywhere.
    """

    box: Box
    logits: Tensor
    maps: tuple[Tensor, ...] = ()
    seen: Tensor | None = None


def labels_on_grid(
    slabs: Iterable[Slab],
    size: Sequence[int],
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    axis: int = 0,
) -> NDArray[np.integer]:
    """Return the label of each voxel of the scan.

    Args:
        slabs: one after the other along `axis` without gaps, with the same extent along the other axes.
            Beyond them there is background, and so is their outermost layer, unless the grid ends there.
        size: voxels of the network's grid.
        matrix: (4, 4), voxel of the scan to voxel of the network's grid.
        shape: (X, Y, Z) voxels of the scan.
        axis: the axis of the network's grid along which the slabs follow each other.

    Returns:
        Labels (X, Y, Z), x fastest in memory as in a NIfTI file; uint8, or uint16 above 256 classes.
    """
    axes = parallel_axes(matrix, shape)
    if axes is None:
        return _labels_askew(slabs, size, matrix, shape)
    where = [axis.coordinates(size[axis.source]) for axis in axes]
    labels: NDArray[np.integer] = np.zeros(shape, np.uint8, order="F")
    before: Slab | None = None
    for slab in slabs:
        if len(slab.logits) > 256 and labels.dtype == np.uint8:
            labels = labels.astype(np.uint16, order="F")
        # voxels between two slabs need the last layer of the first
        _fill(labels, slab if before is None else _join(before, slab, axis), axes, where)
        before = _last_layer(slab, axis)
    return labels


def _labels_askew(
    slabs: Iterable[Slab], size: Sequence[int], matrix: NDArray[np.float64], shape: Sequence[int]
) -> NDArray[np.integer]:
    """Return the labels of a sheared scan, from the whole grid at once and not slab by slab."""
    margin: Tensor | None = None
    classes = 0
    for slab in slabs:
        part = _margin(slab.logits)
        if margin is None:
            classes = len(slab.logits)
            margin = part.new_zeros((len(part), *size))  # background where no slab reaches
            margin[0] = -1 if classes == 2 else 1
        margin[within(slab.box)] = part.to(margin.device)
    if margin is None:
        return np.zeros(shape, np.uint8, order="F")
    labels = np.zeros(shape, np.uint8 if classes <= 256 else np.uint16, order="F")
    for box, values in _askew(margin, matrix, shape):
        labels[box] = _label(values).cpu().numpy()
    return labels


def _last_layer(slab: Slab, axis: int) -> Slab:
    box = list(slab.box)
    box[axis] = slice(box[axis].stop - 1, box[axis].stop)
    return Slab(tuple(box), slab.logits.narrow(1 + axis, -1, 1).clone())


def _join(first: Slab, second: Slab, axis: int) -> Slab:
    box = list(second.box)
    box[axis] = slice(first.box[axis].start, second.box[axis].stop)
    before = first.logits.to(second.logits.device)  # slabs may move to the CPU when memory runs out
    return Slab(tuple(box), torch.cat([before, second.logits], dim=1 + axis))


def _fill(
    labels: NDArray[np.integer],
    slab: Slab,
    axes: Sequence[Axis],
    where: Sequence[NDArray[np.float64]],
) -> None:
    """Write the labels of voxels whose neighbours all lie in the slab, if any can be foreground."""
    bounds = _bounds(slab.logits[1:].amax(dim=0) > slab.logits[0]) if len(slab.logits) > 1 else None
    if bounds is None:
        return
    # with one layer of neighbours
    crop = tuple(
        slice(max(part.start - 1, 0), min(part.stop + 1, box.stop - box.start))
        for part, box in zip(bounds, slab.box, strict=True)
    )
    part = tuple(
        slice(box.start + cut.start, box.start + cut.stop)
        for box, cut in zip(slab.box, crop, strict=True)
    )
    covered = _covered(part, axes, where)
    if covered is None:
        return
    near, target = covered
    for box, values in _resampled(_margin(slab.logits[within(crop)]), near, target):
        labels[box] = _label(values).cpu().numpy()


def maps_on_grid(
    slabs: Iterable[Slab],
    size: Sequence[int],
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    axis: int,
    maps: list[NDArray[np.uint8]],
) -> Iterator[Slab]:
    """Yield the slabs unchanged, and resample their maps onto the scan's grid.

    Args:
        slabs: as for `labels_on_grid`, with maps of 0 to 1, NaN where no window ran.
        size: as for `labels_on_grid`.
        matrix: as for `labels_on_grid`.
        shape: as for `labels_on_grid`.
        axis: as for `labels_on_grid`.
        maps: an empty list, to which an array (X, Y, Z) is added for each map: 0 where no window ran,
            else 1 to 255 for 0 to 1.
    """
    axes = parallel_axes(matrix, shape)
    before: Slab | None = None
    whole: Tensor | None = None  # of a sheared scan
    for slab in slabs:
        if not maps:
            maps += [np.full(shape, UNSEEN, np.uint8, order="F") for _ in slab.maps]
        own = Slab(slab.box, torch.cat(slab.maps))
        if axes is None:
            if whole is None:
                whole = own.logits.new_full((len(maps), *size), torch.nan)
            whole[within(own.box)] = own.logits.to(whole.device)
        else:
            where = [line.coordinates(size[line.source]) for line in axes]
            joined = own if before is None else _join(before, own, axis)
            covered = _covered(joined.box, axes, where)
            for box, values in _resampled(joined.logits, *covered) if covered else ():
                _store(maps, box, values)
            before = _last_layer(own, axis)
        yield slab
    if whole is not None:
        for box, values in _askew(whole, matrix, shape):
            _store(maps, box, values)


def _store(maps: list[NDArray[np.uint8]], box: Box, values: Tensor) -> None:
    stored = torch.nan_to_num(to_steps(values), nan=UNSEEN)
    for array, part in zip(maps, stored, strict=True):
        array[box] = part.to(torch.uint8).cpu().numpy()


def _resampled(
    values: Tensor, near: Sequence[Axis], target: Sequence[slice]
) -> Iterator[tuple[Box, Tensor]]:
    """Resample values (C, *box) at the scan's voxels; yield each chunk with its box in the scan."""
    thick = max(1, CHUNK // (4 * len(values) * max(1, near[0].size * near[1].size)))
    for first in range(0, near[2].size, thick):
        last = min(first + thick, near[2].size)
        at = target[2].start
        box = (target[0], target[1], slice(at + first, at + last))
        yield box, resample(values, [near[0], near[1], near[2].part(first, last)])


def _askew(
    values: Tensor, matrix: NDArray[np.float64], shape: Sequence[int]
) -> Iterator[tuple[Box, Tensor]]:
    """Resample values (C, *size) of the whole grid at the voxels of a sheared scan, layer by layer."""
    step = np.eye(4)
    for z in range(shape[2]):
        step[2, 3] = z
        box = (slice(0, shape[0]), slice(0, shape[1]), slice(z, z + 1))
        yield box, resample_onto(values, matrix @ step, (*shape[:2], 1))


def _covered(
    box: Box, axes: Sequence[Axis], where: Sequence[NDArray[np.float64]]
) -> tuple[list[Axis], list[slice]] | None:
    """Find the scan's voxels that lie within a box of the network's grid.

    Returns:
        Their axes, counted from the box's corner, and their slices in the scan; None if there are no
        such voxels.
    """
    near: list[Axis] = []
    target: list[slice] = []
    for axis, places in zip(axes, where, strict=True):
        first, last = box[axis.source].start, box[axis.source].stop - 1
        inside = np.flatnonzero((places >= first) & (places <= last))
        if not len(inside):
            return None
        part = axis.part(int(inside[0]), int(inside[-1]) + 1)
        near.append(replace(part, start=part.start - first))
        target.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return near, target


def _bounds(mask: Tensor) -> Box | None:
    """Return the smallest box that holds every True; None if there is no True."""
    box = []
    for axis in range(mask.ndim):
        others = [other for other in range(mask.ndim) if other != axis]
        layers = torch.nonzero(mask.any(dim=others)).flatten()
        if not len(layers):
            return None
        box.append(slice(int(layers[0]), int(layers[-1]) + 1))
    return tuple(box)


def _margin(logits: Tensor) -> Tensor:
    """Return the values to resample: the probability of each class, or of two only their difference."""
    probabilities = logits.float().softmax(dim=0)
    return probabilities[1:] - probabilities[:1] if len(logits) == 2 else probabilities


def _label(values: Tensor) -> Tensor:
    return values[0] > 0 if len(values) == 1 else values.argmax(dim=0)
