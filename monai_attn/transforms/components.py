"""Connected components of labels: find them, drop all but the largest, and fill enclosed holes.

Two voxels of a label are connected if they share a face, an edge or a corner (26 neighbours, MONAI's
default). A hole is background from which no path across faces (6 neighbours) leads outside.

`scipy.ndimage.label` takes four bytes for each voxel between the outermost labelled ones, which can be a
whole scan. Here runs of voxels are connected: memory depends on the labels only, and all labels are found
in one pass.
MONAI's `KeepLargestConnectedComponent` needs scikit-image and leaves open which of two equal components
stays; its `FillHoles` also replaces other labels that lie within.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Box = tuple[slice, ...]
Index = NDArray[np.int64]
THICK = 3  # voxels along each axis; a thinner component encloses nothing


@dataclass(frozen=True)
class Components:
    """The connected components of all labels, in the order of their first voxels, x running fastest.

    Attributes:
        labels: (components,) the label of each component.
        sizes: (components,) the number of voxels of each component.
        runs: (runs, 4) `z, y, x` of the first voxel of each run along x, and the `x` behind its last.
        owners: (runs,) the component of each run.
    """

    labels: Index
    sizes: Index
    runs: Index
    owners: Index

    def of(self, label: int) -> Index:
        """Return the indices of a label's components, the largest first; equal ones stay in order."""
        numbers = np.flatnonzero(self.labels == label)
        return numbers[np.argsort(-self.sizes[numbers], kind="stable")]

    def boxes(self) -> list[Box]:
        """Return the box (X, Y, Z) around each component."""
        low = np.full((len(self.sizes), 3), np.iinfo(np.int64).max)
        high = np.zeros_like(low)
        np.minimum.at(low, self.owners, self.runs[:, 2::-1])
        np.maximum.at(high, self.owners, self.runs[:, [3, 1, 0]] + [0, 1, 1])
        return [
            tuple(slice(first, last) for first, last in zip(*ends, strict=True))
            for ends in zip(low.tolist(), high.tolist(), strict=True)
        ]


def find_components(labels: NDArray[np.integer]) -> Components:
    """Find the connected components of every label above 0.

    Args:
        labels: (X, Y, Z); quickest with x fastest in memory, as in a NIfTI file.

    Example:
        >>> labels = np.zeros((4, 4, 4), np.uint8)
        >>> labels[0, 0, 0] = labels[1, 1, 1] = labels[3, 3, 3] = 1
        >>> find_components(labels).sizes
        array([2, 1])
    """
    layers = labels.T
    _, rows, columns = layers.shape
    # an empty column behind each row and an empty row behind each layer keep neighbours apart
    row, layer = columns + 1, (rows + 1) * (columns + 1)
    padded = np.zeros((rows, row), labels.dtype)
    filled = layers.any(axis=2)
    parts = []
    for z in np.flatnonzero(filled.any(axis=1)).tolist():
        used = np.flatnonzero(filled[z])
        low, high = int(used[0]), int(used[-1]) + 1
        padded[low:high, :columns] = layers[z, low:high]
        line = padded[low:high].ravel()
        changes = np.flatnonzero(np.diff(line, prepend=line.dtype.type(0)))
        values = line[changes[:-1]]
        first = changes + z * layer + low * row
        parts.append(np.stack([first[:-1], first[1:], values])[:, values > 0])
    start, end, value = np.concatenate([np.zeros((3, 0), np.int64), *parts], axis=1)
    pairs = [_touching(start, end, shift) for shift in (row, layer - row, layer, layer + row)]
    one, other = (np.concatenate(part) for part in zip(*pairs, strict=True))
    equal = value[one] == value[other]
    graph = coo_array((equal[equal], (one[equal], other[equal])), shape=(len(start), len(start)))
    count, owners = connected_components(graph, directed=False) if len(start) else (0, start)
    component_labels = np.zeros(count, np.int64)
    component_labels[owners] = value
    sizes = np.bincount(owners, weights=end - start, minlength=count).astype(np.int64)
    x = start % row
    runs = np.stack([start // layer, start % layer // row, x, x + end - start], axis=1)
    return Components(component_labels, sizes, runs, owners)


def clean_labels(
    labels: NDArray[np.integer],
    *,
    keep_largest: Collection[int] = (),
    fill_holes: Collection[int] = (),
    keep_pieces_from: float = 1.0,
) -> None:
    """Drop components, and fill holes of the remaining ones, in place.

    Args:
        labels: (X, Y, Z).
        keep_largest: labels of which only the largest component stays (the first in the file if several
            are equally large); the others become background.
        fill_holes: labels that get the background they enclose. A hole that holds another label, or is
            open to a face of the array, stays as it is.
        keep_pieces_from: keep a further component of a label in `keep_largest` if it has at least this
            fraction of the voxels of the largest, since an organ can fall into pieces; with 1
            only the largest stays.
    """
    components = find_components(labels)
    drop = np.zeros(len(components.sizes), bool)
    for label in keep_largest:
        largest, others = components.of(label)[:1], components.of(label)[1:]
        is_small = components.sizes[others] < keep_pieces_from * components.sizes[largest]
        drop[others] = is_small | (keep_pieces_from == 1)  # of two equal ones only the first stays
    layers = labels.T
    for z, y, first, last in components.runs[drop[components.owners]].tolist():
        layers[z, y, first:last] = 0
    for label, box, dropped in zip(
        components.labels.tolist(), components.boxes(), drop, strict=True
    ):
        if label in fill_holes and not dropped and _thickness(box) >= THICK:
            _fill(labels[box], label)


def _thickness(box: Box) -> int:
    return min(side.stop - side.start for side in box)


def _fill(part: NDArray[np.integer], label: int) -> None:
    # a layer around the box connects everything that is not enclosed
    spaces, count = ndimage.label(np.pad(part != label, 1, constant_values=True))
    if count == 1:
        return
    inner = spaces[1:-1, 1:-1, 1:-1]
    is_hole = np.ones(count + 1, bool)
    is_hole[[0, spaces[0, 0, 0]]] = False
    is_hole[inner[(part != label) & (part != 0)]] = False
    part[is_hole[inner]] = label


def _touching(start: Index, end: Index, shift: int) -> tuple[Index, Index]:
    """Find pairs of runs that touch; the second lies in the row that follows the first's by `shift`."""
    low = np.searchsorted(end, start + shift - 1, side="right")
    high = np.searchsorted(start, end + shift + 1, side="left")
    count = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(start)), count)
    return one, np.arange(len(one)) + np.repeat(low - np.cumsum(count) + count, count)
