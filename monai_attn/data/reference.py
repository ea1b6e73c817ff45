"""A reference: a label map that lies on the grid of a scan, and what its values stand for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.data.grid import Grid, same_grid
from monai_attn.data.label_classes import in_classes
from monai_attn.data.labels import labels_of
from monai_attn.data.volume import read_grid, read_volume

NAMED = 8  # values that a message names


def check_on_grid(labels: Grid, of: Grid) -> None:
    """See that a label map lies on the grid of a scan, or of a map.

    Raises:
        ValueError: one line that names both files.
    """
    if labels.shape != of.shape or not same_grid(of.shape, labels.affine, of.affine):
        raise ValueError(
            f"{labels.path}: is not on the grid of {of.path}; one grid expected: resample the labels to it, "
            "nearest neighbour"
        )


def check_reference(reference: str | Path, scan: str | Path) -> None:
    """See by the headers alone that a reference lies on the grid of its scan.

    Raises:
        ValueError: as `check_on_grid`, or if a file cannot be read.
    """
    check_on_grid(read_grid(reference), read_grid(scan))


def read_reference(
    reference: str | Path,
    classes: Mapping[int, int],
    chosen: Mapping[int, int] | None = None,
) -> NDArray[np.integer]:
    """The labels (X, Y, Z) of a reference, as a network writes them.

    Args:
        reference: a label map.
        classes: the label of each value in the files that the network was trained with.
        chosen: the label of each value in this file, where its values are others; a value that is not
            named is background.

    Raises:
        ValueError: if it cannot be read; or if nothing was chosen and a value is not among `classes`:
            it may be another organ under the number of the network's own.
    """
    values = labels_of(read_volume(reference, fill=None))
    if chosen:
        return in_classes(values, chosen)
    strange = values[~np.isin(values, [*classes, 0], kind="table")]
    if strange.size:
        found = np.unique(strange)
        said = ", ".join(map(str, found[:NAMED])) + (", ..." if found.size > NAMED else "")
        known = ", ".join(map(str, sorted({0, *classes})))
        raise ValueError(
            f"{reference}: holds {said}; {known} expected, as the bundle was trained: say which value "
            "stands for which label, such as --map 7=1"
        )
    return in_classes(values, classes)
