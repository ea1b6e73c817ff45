"""Measures of a label: volume, extent, pieces, and the faces of the scan that it touches."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.regions import Regions, layers
from monai_attn.io.grid import voxel_ml
from monai_attn.transforms.components import Box, Components, find_components

SIZEABLE = 0.1  # of the largest component; a smaller one is a speck
DIRECTIONS = {
    "R": "right edge",
    "L": "left edge",
    "A": "front edge",
    "P": "back edge",
    "S": "upper edge",
    "I": "lower edge",
}
SLICE_AXIS = 2


@dataclass(frozen=True)
class Pieces:
    """The connected components of a label.

    Attributes:
        in_all: number of components.
        sizeable: number of components with at least a tenth of the voxels of the largest.
    """

    in_all: int
    sizeable: int


@dataclass(frozen=True)
class LabelMeasures:
    """The measures of one label.

    Attributes:
        volume_ml: its volume.
        extent_mm: edge lengths of its bounding box along the patient's axes: left to right, back to
            front, foot to head.
        pieces: its components.
        faces: names of the scan's faces that it touches, such as "last slice" or "left edge".
    """

    volume_ml: float
    extent_mm: tuple[float, float, float]
    pieces: Pieces
    faces: tuple[str, ...]


def count_pieces(labels: NDArray[np.integer], regions: Regions | None = None) -> dict[int, Pieces]:
    """Count the components of each label that occurs in labels (X, Y, Z), or of each whole region."""
    counts: dict[int, Pieces] = {}
    for layer in layers(labels, regions):
        found = find_components(layer)
        counts |= {label: _pieces(found, label) for label in _occurring(found)}
    return counts


def measure_labels(
    labels: NDArray[np.integer],
    affine: NDArray[np.float64],
    content: Box | None = None,
    regions: Regions | None = None,
) -> dict[int, LabelMeasures]:
    """Measure each label that occurs.

    Args:
        labels: (X, Y, Z).
        affine: (4, 4), voxel to RAS+ mm.
        content: the box of the scan without padding, see `content_box`; the whole scan by default.
        regions: the regions, which are measured with all that is within them; None for classes.
    """
    measures: dict[int, LabelMeasures] = {}
    for layer in layers(labels, regions):
        measures |= _measure(layer, affine, content)
    return measures


def _measure(
    labels: NDArray[np.integer], affine: NDArray[np.float64], content: Box | None
) -> dict[int, LabelMeasures]:
    found = find_components(labels)
    boxes, content = found.boxes(), content or tuple(slice(0, n) for n in labels.shape)
    measures = {}
    for label in _occurring(found):
        numbers = found.of(label)
        volume = int(found.sizes[numbers].sum()) * voxel_ml(affine)
        runs = found.runs[np.isin(found.owners, numbers)]
        measures[label] = LabelMeasures(
            volume,
            _extent(runs, affine),
            _pieces(found, label),
            _faces([boxes[number] for number in numbers], content, affine),
        )
    return measures


def content_box(image: NDArray[np.floating]) -> Box:
    """Return the box of an image (X, Y, Z) without padding: layers of a single value at its faces."""
    box: list[slice] = []
    for axis in range(image.ndim):
        layers = np.moveaxis(image[tuple(box)], axis, 0)
        first, last = 0, len(layers) - 1
        while first < last and _is_constant(layers[first]):
            first += 1
        while last > first and _is_constant(layers[last]):
            last -= 1
        box.append(slice(first, last + 1))
    return tuple(box)


def _is_constant(layer: NDArray[np.floating]) -> bool:
    return bool((layer == layer.flat[0]).all())


def _occurring(found: Components) -> list[int]:
    return np.unique(found.labels).tolist()


def _pieces(found: Components, label: int) -> Pieces:
    sizes = found.sizes[found.of(label)]
    return Pieces(len(sizes), int((sizes >= SIZEABLE * sizes[0]).sum()))


def _extent(runs: NDArray[np.int64], affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the extent along the patient's axes, from the ends of runs, which are their extremes."""
    first, last = runs[:, 2::-1], runs[:, [3, 1, 0]] - [1, 0, 0]
    places = np.concatenate([first, last]) @ affine[:3, :3].T
    voxel = np.abs(affine[:3, :3]).sum(axis=1)
    x, y, z = (places.max(axis=0) - places.min(axis=0) + voxel).tolist()
    return x, y, z


def _faces(boxes: list[Box], content: Box, affine: NDArray[np.float64]) -> tuple[str, ...]:
    codes = nib.aff2axcodes(affine)
    opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
    faces = []
    for axis, whole in enumerate(content):
        names = [DIRECTIONS[opposite[codes[axis]]], DIRECTIONS[codes[axis]]]
        if axis == SLICE_AXIS:
            names = ["first slice", "last slice"]
        if any(box[axis].start <= whole.start for box in boxes):
            faces.append(names[0])
        if any(box[axis].stop >= whole.stop for box in boxes):
            faces.append(names[1])
    return tuple(faces)
