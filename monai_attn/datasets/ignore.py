"""The ignore label: voxels whose class nobody has marked, and which therefore count nowhere.

Its value in the label files is set by the data set (`"ignore"` in nnU-Net's `dataset.json`) or by the
user. In memory such a voxel holds `IGNORED`, whatever its value in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.label_classes import declared_ignore, declared_labels
from monai_attn.io.errors import OptionError

IGNORED = 255  # the largest uint8, the type of labels in training


def find_ignore(given: int | None, source: str | Path) -> int | None:
    """Find the ignore value of a data set: the one given, or else the one that it declares.

    Args:
        given: the value that the user asked for, or None.
        source: as for `declared_labels`.

    Returns:
        The value, or None if every voxel counts.

    Raises:
        ValueError: if the two differ, the value is also the background or a declared label, or the
            declaration is malformed.
    """
    declared, labels = declared_ignore(source), declared_labels(source)
    if given is None:
        return declared
    check_ignore(given, {})
    if declared not in (None, given):
        raise ValueError(
            f"{source}: declares another ignore value (got {given}, expected {declared}). Leave out the "
            "ignore value, or correct dataset.json."
        )
    if given in labels:
        raise ValueError(
            f"{source}: the ignore value {given} is declared as {labels[given]!r:.40} (expected a value of "
            "its own). Choose another ignore value."
        )
    return given


def check_ignore(ignore: Any, classes: Mapping[int, int], option: str = "") -> None:
    """Refuse an ignore value that is malformed or also a class.

    Args:
        ignore: the value in label files; None is always accepted.
        classes: value in label files to class; 0 is the background.
        option: the option that chooses classes as `VALUE=NAME`, if the caller has one.

    Raises:
        ValueError: if it is no whole number above 0, is also a class, or there are too many classes.

    Example:
        >>> check_ignore(2, {0: 0, 1: 1})
    """
    if ignore is None:
        return
    if not isinstance(ignore, int) or isinstance(ignore, bool) or ignore < 1:
        raise ValueError(
            f"ignore (={ignore!r:.40}) must be a whole number above 0, since 0 is the background. Mark "
            "the voxels with another value."
        )
    if classes.get(ignore):
        fault = (
            f"ignore (={ignore}) is also class {classes[ignore]} (expected a value of its own). Choose "
            "another ignore value, or "
        )
        if option:
            raise OptionError(f"{fault}the classes with ", option, "VALUE=NAME")
        raise ValueError(f"{fault}other classes.")
    if max(classes.values(), default=0) >= IGNORED:
        raise ValueError(
            f"too many classes next to an ignore value (got {max(classes.values())}, expected at most "
            f"{IGNORED - 1}). Merge some of them."
        )


def mark_ignored(
    classes: NDArray[np.integer], values: NDArray[np.integer], ignore: int | None, path: str | Path
) -> NDArray[np.integer]:
    """Set the voxels of a label map that hold the ignore value to `IGNORED`, in place.

    Args:
        classes: (X, Y, Z) the class of each voxel.
        values: (X, Y, Z) the value of each voxel in the file.
        ignore: the ignore value, if there is one.
        path: the file, named in the error.

    Returns:
        `classes`.

    Raises:
        ValueError: if every voxel is ignored.
    """
    if ignore is not None:
        ignored = values == ignore
        if ignored.all():
            raise ValueError(no_known_voxel(path, ignore))
        classes[ignored] = IGNORED
    return classes


def no_known_voxel(path: str | Path, ignore: int) -> str:
    """Return the error text for a label map in which every voxel is ignored."""
    return (
        f"{path}: every voxel has the ignore value {ignore} (expected some known voxels). Label a part of "
        "it, or leave out the case."
    )
