"""A small picture of one slice, for a record of pictures that grows with a training.

Panels lie side by side: the image; the image with outlines of the reference and of the labels; and the image
under the attention. Each takes a few kilobytes as PNG: grey values are kept in few steps, and the slice is
cut to the surroundings of what is marked.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from monai_attn.reporting.colours import MAP_COLOURS, REFERENCE_COLOUR, label_colour
from monai_attn.reporting.figure_panels import ATTENTION_ALPHA

FIELD = 96  # voxels of a slice along each axis, unless what is marked is larger
MARGIN = 8  # voxels around what is marked
PANEL = 192  # pixels of a panel, about
GREYS = 24  # steps of the grey values: noise in more of them takes most of a file
SHAPE = np.ones((3, 3), bool)

Slice = NDArray[np.integer]


def slice_picture(
    image: NDArray[np.floating],
    reference: Slice,
    labels: Slice,
    attention: NDArray[np.floating] | None = None,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> NDArray[np.uint8]:
    """Draw one axial slice of a case, all arrays (X, Y) in RAS order.

    Args:
        image: 0 is drawn black and 1 white.
        reference: whole numbers; outlined around it in one colour.
        labels: whole numbers; outlined within it, a colour per label.
        attention: attention of a gate, 0 to 1, or None for a network without gates.
        spacing: voxel size along X and Y, mm.

    Returns:
        Pixels (height, width, 3); the patient's right is at the left, and the front at the top.
    """
    x, y = _field((reference > 0) | (labels > 0))
    turn = _Turned(x, y, spacing)
    grey = np.rint(np.clip(turn(image), 0, 1) * GREYS) / GREYS
    plain = np.repeat(grey[..., None], 3, axis=2)
    panels = [plain, plain.copy()]
    marked = turn(reference) > 0
    panels[1][binary_dilation(marked, SHAPE) & ~marked] = to_rgb(REFERENCE_COLOUR)
    shown = turn(labels)
    for label in np.unique(shown[shown > 0]).tolist():
        part = shown == label
        panels[1][part & ~binary_erosion(part, SHAPE)] = to_rgb(label_colour(label))
    if attention is not None:
        panels.append(_under(turn(attention), plain))
    gap = np.zeros((len(plain), 2, 3))
    parts = [piece for panel in panels for piece in (panel, gap)][:-1]
    return np.rint(np.concatenate(parts, axis=1) * 255).astype(np.uint8)


class _Turned:
    """A cut of slices (X, Y), as pixels (row, column) of a common size with square pixels."""

    def __init__(self, x: slice, y: slice, spacing: tuple[float, float]) -> None:
        self.x, self.y = x, y
        sizes = [(part.stop - part.start) * mm for part, mm in zip((x, y), spacing, strict=True)]
        per_mm = PANEL / max(sizes)
        columns, rows = (max(1, round(size * per_mm)) for size in sizes)
        self.columns = _nearest(columns, x.stop - x.start)
        self.rows = _nearest(rows, y.stop - y.start)

    def __call__(self, values: NDArray) -> NDArray:
        part = values[self.x, self.y][::-1, ::-1].T
        return part[np.ix_(self.rows, self.columns)]


def _nearest(pixels: int, voxels: int) -> NDArray[np.integer]:
    """Return the voxel that each pixel shows."""
    return ((np.arange(pixels) + 0.5) * voxels / pixels).astype(int)


def _field(marked: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the part of a slice to show: around what is marked, or the middle."""
    parts = []
    for axis, size in enumerate(marked.shape):
        found = np.flatnonzero(marked.any(axis=1 - axis))
        low, high = (found[0], found[-1] + 1) if len(found) else (size // 2, size // 2)
        width = min(size, max(FIELD, high - low + 2 * MARGIN))
        start = min(max((low + high - width) // 2, 0), size - width)
        parts.append(slice(int(start), int(start + width)))
    return parts[0], parts[1]


def _under(attention: NDArray[np.floating], image: NDArray[np.floating]) -> NDArray[np.floating]:
    """Lay colours of attention over an image (row, column, 3); none where it is not a number."""
    steps = np.rint(np.nan_to_num(attention) * GREYS) / GREYS
    colours = matplotlib.colormaps[MAP_COLOURS["attention"]](steps)[..., :3]
    alpha = np.where(np.isnan(attention), 0.0, ATTENTION_ALPHA)[..., None]
    return image * (1 - alpha) + colours * alpha
