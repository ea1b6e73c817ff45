"""Label maps as bytes in closest RAS order, for a page: byte n is the n-th of the labels that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.label_classes import in_classes
from monai_attn.datasets.regions import Regions
from monai_attn.io.errors import collect_warnings
from monai_attn.io.grid import Grid, voxel_ml
from monai_attn.io.labels import labels_of
from monai_attn.io.scan import read_volume
from monai_attn.reporting.packing import Bytes
from monai_attn.reporting.planes import to_ras

MOST_LABELS = 255  # the numbers of a byte, without 0


@dataclass(frozen=True)
class LabelBytes:
    """A label map in closest RAS order.

    Attributes:
        grid: its grid, as it is stored.
        bytes: (X, Y, Z) byte 1 is the first of `numbers`, and 0 is background.
        numbers: the labels.
        ml: the volume of each, ml.
        ignored: (X, Y, Z) the voxels that count nowhere, if a value marks them.
    """

    grid: Grid
    bytes: Bytes
    numbers: list[int]
    ml: list[float]
    ignored: NDArray[np.bool_] | None = None

    def volumes(self, regions: Regions | None) -> dict[int, float]:
        """Return the volume of each label in ml; that of a region with all that is within it."""
        own = dict(zip(self.numbers, self.ml, strict=True))
        if regions is None:
            return own
        return own | {
            label: sum(own.get(value, 0.0) for value in regions.values[label])
            for label in own
            if label in regions.values
        }

    def numbered(self, numbers: list[int]) -> LabelBytes:
        """Return the label map with the bytes of other labels, which hold all of its own."""
        if numbers == self.numbers:
            return self
        _check_count(numbers, self.grid.path)
        codes = np.array([0, *(numbers.index(number) + 1 for number in self.numbers)], np.uint8)
        own = dict(zip(self.numbers, self.ml, strict=True))
        ml = [own.get(number, 0.0) for number in numbers]
        return replace(self, bytes=codes[self.bytes], numbers=numbers, ml=ml)


def read_label_bytes(
    path: Path, classes: Mapping[int, int] | None = None, ignore: int | None = None
) -> LabelBytes:
    """Read a label map.

    Args:
        path: the label map.
        classes: the label that each value stands for; a value that is not named is background. By default the
            values themselves.
        ignore: the value of voxels that count nowhere; they become background.

    Raises:
        ValueError: one line, if it cannot be read or has too many labels.
    """
    with collect_warnings():
        volume = read_volume(path, fill=None)
    values = labels_of(volume)
    ignored = None
    if ignore is not None:
        ignored = to_ras(values == ignore, volume.affine)
        values[values == ignore] = 0
    values = to_ras(in_classes(values, classes) if classes else values, volume.affine)
    counts: dict[int, int] = {}
    for layer in np.moveaxis(
        values, -1, 0
    ):  # sort layer by layer, and only the few labelled voxels
        found = np.unique(layer[layer > 0], return_counts=True)
        for label, count in zip(*found, strict=True):
            counts[int(label)] = counts.get(int(label), 0) + int(count)
    numbers = sorted(counts)
    _check_count(numbers, path)
    coded = np.zeros(values.shape, np.uint8)
    for layer, small in zip(np.moveaxis(values, -1, 0), np.moveaxis(coded, -1, 0), strict=True):
        marked = layer > 0
        small[marked] = np.searchsorted(numbers, layer[marked]) + 1
    ml = voxel_ml(volume.affine)
    return LabelBytes(volume.grid, coded, numbers, [counts[n] * ml for n in numbers], ignored)


def _check_count(numbers: list[int], path: Path | None) -> None:
    if len(numbers) > MOST_LABELS:
        raise ValueError(
            f"{path}: {len(numbers)} labels; at most {MOST_LABELS} can be shown: segment fewer"
        )
