"""Reference label maps: the check that they lie on a scan's grid, and the labels of their values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.ignore import check_ignore, mark_ignored
from monai_attn.datasets.label_classes import in_classes
from monai_attn.io.channels import open_image
from monai_attn.io.errors import ScanWarning
from monai_attn.io.grid import Grid
from monai_attn.io.labels import labels_of
from monai_attn.io.reorder import axis_order, order_doubt, reordered
from monai_attn.io.scan import read_grid, read_volume
from monai_attn.io.volume import Volume

NAMED = 8  # the largest number of values that a message names


def check_on_grid(labels: Grid, of: Grid) -> None:
    """Check that a label map lies on the grid of a scan or of another map.

    A map with the same voxels in another order of axes lies on it too: a `ScanWarning` says so.

    Raises:
        ValueError: one line that names both files.
    """
    if axis_order(labels, of) is None:
        raise ValueError(
            f"{labels.path}: is not on the grid of {of.path}. Resample the labels to it, by nearest "
            "neighbour."
        )
    if doubt := order_doubt(labels, of):
        warnings.warn(doubt, ScanWarning, stacklevel=2)


def check_reference(reference: str | Path, scan: object) -> None:
    """Check that a reference lies on the grid of its scan, from the headers only.

    Args:
        reference: a label map.
        scan: the scan, or the scan of each channel.

    Raises:
        ValueError: as `check_on_grid`, or if a file cannot be read.
    """
    check_on_grid(read_grid(reference), open_image(scan).grid)


def read_reference(
    reference: str | Path,
    scan: Grid,
    classes: Mapping[int, int],
    chosen: Mapping[int, int] | None = None,
    ignore: int | None = None,
) -> NDArray[np.integer]:
    """Read a label map's file, and return its labels (X, Y, Z) as a network writes them (`as_labels`).

    Args:
        reference: a label map that `check_reference` accepts.
        scan: the grid of its scan, in whose order of axes the labels are returned.
        classes: as for `as_labels`.
        chosen: as for `as_labels`.
        ignore: as for `as_labels`.

    Raises:
        ValueError: as `as_labels`, or if the file cannot be read.
    """
    volume = reordered(read_volume(reference, fill=None), scan)
    return as_labels(volume, classes, chosen, ignore)


def as_labels(
    reference: Volume,
    classes: Mapping[int, int],
    chosen: Mapping[int, int] | None = None,
    ignore: int | None = None,
) -> NDArray[np.integer]:
    """Return the network's label of each voxel (X, Y, Z) of a reference.

    Args:
        reference: a label map.
        classes: the label of each value in the files with which the network was trained.
        chosen: the label of each value in this file, if its values differ; a value that is not named is
            background. A `ScanWarning` says if the file holds none of them, but others.
        ignore: the value in this file of voxels that count nowhere, if there is one; they become `IGNORED`.

    Raises:
        ValueError: if the file holds no labels or only the ignore value, or that value is also a label; if
            `chosen` names a label that the network does not have; or if nothing was chosen and a value is
            not in `classes`: the file may number other organs.
    """
    check_ignore(ignore, chosen or classes)
    labels = sorted({0, *classes.values()})
    for value, label in (chosen or {}).items():
        if label not in labels:
            raise ValueError(
                f"{reference.path}: value {value} is mapped to a label that the network does not have "
                f"(got {label}, expected one of {_listed(labels)}). Correct the mapping."
            )
    values = labels_of(reference)
    if chosen:
        mapped = mark_ignored(in_classes(values, chosen), values, ignore, reference.path)
        if values.any() and not mapped.any():
            warnings.warn(
                f"{reference.path}: has none of the mapped values {_listed([*chosen])}. Check the "
                "mapping.",
                ScanWarning,
                stacklevel=2,
            )
        return mapped
    allowed = [*classes, 0] if ignore is None else [*classes, 0, ignore]
    unknown = values[~np.isin(values, allowed, kind="table")]
    if unknown.size:
        known = _listed(sorted({0, *classes}))
        raise ValueError(
            f"{reference.path}: unknown label values (got {_listed(np.unique(unknown))}, expected "
            f"{known}). Map each value to a label."
        )
    return mark_ignored(in_classes(values, classes), values, ignore, reference.path)


def _listed(values: Sequence[int] | NDArray[np.integer]) -> str:
    """Format the first values, with "..." if there are more."""
    return ", ".join(map(str, values[:NAMED])) + (", ..." if len(values) > NAMED else "")
