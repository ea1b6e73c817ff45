"""Conversion of logits on the network's grid to labels on the scan's grid, slab by slab.

Probabilities are resampled, not labels: the boundary stays smooth. A voxel of the scan can only be
foreground if a neighbour on the network's grid is, because a weighted mean of voxels whose largest class
is the background has the background as its largest class too, and one of regions that are all below 0.5
stays below it. So only the boxes that hold such voxels are resampled, labels are made of them at once, and
neither grid ever holds one float for each class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_attn.io.map_encoding import UNSEEN, to_steps
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.resample import Axis, parallel_axes, resample, resample_onto

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


class Keep(Protocol):
    """An object that keeps something else of the slabs of which labels are made."""

    def add(self, slab: Slab, labels: NDArray[np.integer] | None) -> None:
        """Add a slab, and the labels so far; None for a sheared scan."""

    def finish(self, labels: NDArray[np.integer], whole: Tensor | None) -> None:
        """End with the labels, and the resampled values (K, *size) of a sheared scan."""


def labels_on_grid(
    slabs: Iterable[Slab],
    size: Sequence[int],
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    axis: int = 0,
    decoding: Decoding = Decoding(),  # noqa: B008  a constant
    keep: Keep | None = None,
) -> NDArray[np.integer]:
    """Return the label of each voxel of the scan.

    Args:
        slabs: one after the other along `axis` without gaps, with the same extent along the other axes.
            Beyond them there is background, and so is their outermost layer, unless the grid ends there.
        size: voxels of the network's grid.
        matrix: (4, 4), voxel of the scan to voxel of the network's grid.
        shape: (X, Y, Z) voxels of the scan.
        axis: the axis of the network's grid along which the slabs follow each other.
        decoding: the way from logits to labels; that of classes by default.
        keep: gets every slab as well, to keep its probabilities.

    Returns:
        Labels (X, Y, Z), x fastest in memory as in a NIfTI file; uint8, or uint16 above 256 classes.
    """
    labels = _Labels(size, matrix, shape, axis, decoding)
    for slab in slabs:
        labels.add(slab)
        if keep:
            keep.add(slab, labels.labels)
    return _finished(labels, keep)


def labels_and_maps_on_grid(
    slabs: Iterable[Slab],
    size: Sequence[int],
    matrix: NDArray[np.float64],
    shape: Sequence[int],
    axis: int = 0,
    decoding: Decoding = Decoding(),  # noqa: B008  a constant
    keep: Keep | None = None,
) -> tuple[NDArray[np.integer], tuple[NDArray[np.uint8], ...]]:
    """Return the label of each voxel of the scan, and the slabs' maps there.

    Args:
        slabs: as for `labels_on_grid`, with maps of 0 to 1, NaN where no window ran.
        size: as for `labels_on_grid`.
        matrix: as for `labels_on_grid`.
        shape: as for `labels_on_grid`.
        axis: as for `labels_on_grid`.
        decoding: as for `labels_on_grid`.
        keep: as for `labels_on_grid`.

    Returns:
        The labels, as from `labels_on_grid`, and an array (X, Y, Z) for each map: 0 where no window ran,
        else 1 to 255 for 0 to 1.
    """
    labels = _Labels(size, matrix, shape, axis, decoding)
    maps = _Maps(size, matrix, shape, axis)
    for slab in slabs:
        maps.add(slab)
        labels.add(slab)
        if keep:
            keep.add(slab, labels.labels)
    stored = maps.finish()  # frees what it holds before the labels take memory
    return _finished(labels, keep), stored


def _finished(labels: _Labels, keep: Keep | None) -> NDArray[np.integer]:
    found = labels.finish()
    if keep:
        keep.finish(found, labels.whole)
    return found


class OnGrid:
    """Outputs on the scan's grid that grow slab by slab.

    A sheared scan mixes all axes of the network's grid; then the whole grid is kept until the end.

    Args:
        size, matrix, shape, axis: as for `labels_on_grid`.
    """

    def __init__(
        self, size: Sequence[int], matrix: NDArray[np.float64], shape: Sequence[int], axis: int
    ) -> None:
        self.size = size
        self.matrix = matrix
        self.shape = shape
        self.axis = axis
        self.axes = parallel_axes(matrix, shape)
        self.where = [line.coordinates(size[line.source]) for line in self.axes or ()]
        self.before: Slab | None = None
        self.whole: Tensor | None = None  # (K, *size) of a sheared scan

    def joined(self, slab: Slab) -> Slab:
        """Return the slab with the last layer of the one before, which voxels between the two need."""
        whole = slab if self.before is None else _join(self.before, slab, self.axis)
        self.before = _last_layer(slab, self.axis)
        return whole


class _Labels(OnGrid):
    """The labels of the slabs so far.

    Args:
        size, matrix, shape, axis, decoding: as for `labels_on_grid`.
    """

    classes = 0
    labels: NDArray[np.integer] | None = None

    def __init__(
        self,
        size: Sequence[int],
        matrix: NDArray[np.float64],
        shape: Sequence[int],
        axis: int,
        decoding: Decoding,
    ) -> None:
        super().__init__(size, matrix, shape, axis)
        self.decoding = decoding

    def add(self, slab: Slab) -> None:
        """Add the slab that follows the one before."""
        self.classes = len(slab.logits)
        if self.axes is None:
            part = self.decoding.values(slab.logits)
            if self.whole is None:  # background where no slab reaches
                self.whole = part.new_zeros((len(part), *self.size))
                for channel, value in zip(
                    self.whole, self.decoding.empty(self.classes), strict=True
                ):
                    channel.fill_(value)
            self.whole[within(slab.box)] = part.to(self.whole.device)
            return
        if self.labels is None:
            self.labels = self._background()
        _fill(self.labels, self.joined(slab), self.axes, self.where, self.decoding)

    def finish(self) -> NDArray[np.integer]:
        """Return the labels (X, Y, Z)."""
        labels = self._background() if self.labels is None else self.labels
        if self.whole is not None:
            for box, values in askew(self.whole, self.matrix, self.shape):
                labels[box] = self.decoding.labels_of(values).cpu().numpy()
        return labels

    def _background(self) -> NDArray[np.integer]:
        return np.zeros(self.shape, np.uint8 if self.classes <= 256 else np.uint16, order="F")


class _Maps(OnGrid):
    """The maps of the slabs so far."""

    maps: tuple[NDArray[np.uint8], ...] = ()

    def add(self, slab: Slab) -> None:
        """Add the slab that follows the one before."""
        if not self.maps:
            self.maps = tuple(np.full(self.shape, UNSEEN, np.uint8, order="F") for _ in slab.maps)
        own = Slab(slab.box, torch.cat(slab.maps))
        if self.axes is None:
            if self.whole is None:
                self.whole = own.logits.new_full((len(self.maps), *self.size), torch.nan)
            self.whole[within(own.box)] = own.logits.to(self.whole.device)
            return
        joined = self.joined(own)
        at = covered(joined.box, self.axes, self.where)
        for box, values in resampled(joined.logits, *at) if at else ():
            _store(self.maps, box, values)

    def finish(self) -> tuple[NDArray[np.uint8], ...]:
        """Return the maps (X, Y, Z), each 0 where no window ran, else 1 to 255 for 0 to 1."""
        if self.whole is not None:
            for box, values in askew(self.whole, self.matrix, self.shape):
                _store(self.maps, box, values)
            self.whole = None
        return self.maps


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
    decoding: Decoding,
) -> None:
    """Write the labels of voxels whose neighbours all lie in the slab, if any can be foreground."""
    bounds = _bounds(decoding.foreground(slab.logits))
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
    at = covered(part, axes, where)
    if at is None:
        return
    near, target = at
    for box, values in resampled(decoding.values(slab.logits[within(crop)]), near, target):
        labels[box] = decoding.labels_of(values).cpu().numpy()


def _store(maps: Sequence[NDArray[np.uint8]], box: Box, values: Tensor) -> None:
    stored = torch.nan_to_num(to_steps(values), nan=UNSEEN)
    for array, part in zip(maps, stored, strict=True):
        array[box] = part.to(torch.uint8).cpu().numpy()


def resampled(
    values: Tensor, near: Sequence[Axis], target: Sequence[slice]
) -> Iterator[tuple[Box, Tensor]]:
    """Resample values (C, *box) at the scan's voxels; yield each chunk with its box in the scan."""
    thick = max(1, CHUNK // (4 * len(values) * max(1, near[0].size * near[1].size)))
    for first in range(0, near[2].size, thick):
        last = min(first + thick, near[2].size)
        at = target[2].start
        box = (target[0], target[1], slice(at + first, at + last))
        yield box, resample(values, [near[0], near[1], near[2].part(first, last)])


def askew(
    values: Tensor, matrix: NDArray[np.float64], shape: Sequence[int]
) -> Iterator[tuple[Box, Tensor]]:
    """Resample values (C, *size) of the whole grid at the voxels of a sheared scan, layer by layer."""
    step = np.eye(4)
    for z in range(shape[2]):
        step[2, 3] = z
        box = (slice(0, shape[0]), slice(0, shape[1]), slice(z, z + 1))
        yield box, resample_onto(values, matrix @ step, (*shape[:2], 1))


def covered(
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
