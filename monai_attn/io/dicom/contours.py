"""Contours of labels in a slice, as closed polygons without holes.

A contour runs midway between the voxels inside and those outside, so the centre of every voxel is on its own
side: filled again on the same grid, it gives exactly the labels. Its area is half a voxel smaller than that
of the voxels, as corners are cut. Around a hole the polygon goes along a channel of no width (PS3.3
C.8.8.6.3, "keyhole"), which every reader understands, whether it unites or subtracts polygons. The channel
lies between two columns of voxels, where it meets no centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]  # (points, 2) corners of a closed polygon, in voxels; multiples of 0.5


def contours(mask: NDArray[np.bool_]) -> list[Ring]:
    """Return the outlines of a mask's pieces.

    Args:
        mask: (X, Y) voxels of a slice.

    Returns:
        (points, 2) corners of each polygon in voxels, where (0, 0) is the centre of the first voxel. The
        first corner is not repeated.
    """
    from contourpy import FillType, contour_generator

    columns, rows = np.nonzero(mask)
    if not len(columns):
        return []
    start = np.array([columns.min(), rows.min()])
    part = mask[start[0] : columns.max() + 1, start[1] : rows.max() + 1]
    padded = np.pad(part, 1).astype(np.float32)  # also closed where they touch the border
    generator = contour_generator(z=padded.T, name="serial", fill_type=FillType.OuterOffset)
    found = []
    for points, offsets in zip(*generator.filled(0.5, 2), strict=True):
        corners = np.asarray(points, float) + start - 1
        outer, *holes = [_without_straight(corners[a : b - 1]) for a, b in pairwise(offsets)]
        found.append(_with_keyholes(outer, holes))
    return found


def _without_straight(ring: Ring) -> Ring:
    """Leave out the points between which the line goes straight on."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return ring[turns != 0]


def _with_keyholes(outer: Ring, holes: Sequence[Ring]) -> Ring:
    """Join holes to the outer ring, each along a line to the ring above it, which is joined before."""
    waiting = [(hole, *_top(hole)) for hole in holes]
    while waiting:
        for place, (_, column, top) in enumerate(waiting):
            others = [outer, *(hole for hole, *_ in waiting[:place] + waiting[place + 1 :])]
            heights = [_nearest_above(ring, column, top) for ring in others]
            if max(heights) == heights[0]:
                break
        hole, column, top = waiting.pop(place)
        outer = _join(outer, hole, np.array([column, heights[0]]), np.array([column, top]))
    return outer


def _nearest_above(ring: Ring, column: float, top: float) -> float:
    return max((y for y in _crossings(ring, column) if y < top), default=-np.inf)


def _top(hole: Ring) -> tuple[float, float]:
    """Return a column line between voxels that meets the hole near its top, and where it meets it first."""
    column, _ = hole[np.argmin(hole[:, 1])]
    column = float(np.floor(column) + 0.5)
    return column, min(_crossings(hole, column))


def _crossings(ring: Ring, column: float) -> Iterator[float]:
    """Yield where a ring meets a column line."""
    following = np.roll(ring, -1, axis=0)
    (meeting,) = np.nonzero((ring[:, 0] - column) * (following[:, 0] - column) <= 0)
    for (x0, y0), (x1, y1) in zip(ring[meeting], following[meeting], strict=True):
        yield from {y0, y1} if x0 == x1 else {y0 + (column - x0) / (x1 - x0) * (y1 - y0)}


def _join(outer: Ring, hole: Ring, at: Ring, to: Ring) -> Ring:
    """Insert a hole into a ring, along the line from a point of the ring to one of the hole."""
    ring, hole = _starting_at(outer, at), _starting_at(hole, to)
    return np.concatenate([ring, ring[:1], hole, hole[:1]])


def _starting_at(ring: Ring, point: Ring) -> Ring:
    """Turn a ring so that it starts at a point on it, which becomes a corner."""
    following = np.roll(ring, -1, axis=0)
    along, there = following - ring, point - ring
    off = along[:, 0] * there[:, 1] - along[:, 1] * there[:, 0]
    within = (there * (point - following)).sum(axis=1) <= 0
    place = int(np.argmax((off == 0) & within))
    turned = np.roll(ring, -place - 1, axis=0)  # its last corner is before the point
    if (turned[-1] == point).all():
        return np.roll(turned, 1, axis=0)
    return np.concatenate([point[None], turned])
