"""Storage of a map of fractions, such as attention, with one byte for each voxel.

Byte 0 is a voxel without a value, and bytes 1 to 255 are 0 to 1 in steps of 1/254. Slope and intercept of
a file say so: a reader gets the fractions, and -1/254 at voxels without a value.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

UNSEEN = 0
STEPS = 254
SLOPE, INTERCEPT = 1 / STEPS, -1 / STEPS
FRACTIONS = (np.arange(STEPS + 2) - 1) / STEPS  # by byte; the one of `UNSEEN` has no meaning
Values = TypeVar("Values")  # a NumPy array or a tensor


def to_steps(fractions: Values) -> Values:
    """Turn 0..1 into the whole numbers 1 to 255; NaN stays NaN.

    Example:
        >>> to_steps(np.array([0.0, 0.5, 1.0])).tolist()
        [1.0, 128.0, 255.0]
    """
    return (fractions * STEPS).round() + 1  # type: ignore[operator, attr-defined]


def to_bytes(read: NDArray[np.floating]) -> NDArray[np.uint8] | None:
    """Return the bytes of values that were read from a file; None if it is no map of fractions.

    Example:
        >>> to_bytes(np.array([-1 / 254, 0.0, 1.0])).tolist()
        [0, 1, 255]
        >>> to_bytes(np.array([0.001]))
    """
    values = read * STEPS + 1
    whole = np.rint(values)
    known = (np.abs(values - whole) < 0.01) & (whole >= UNSEEN) & (whole <= STEPS + 1)
    return whole.astype(np.uint8) if known.all() else None


def is_stored_so(dtype: DTypeLike, slope: float) -> bool:
    """Check whether a file with this type and slope holds such bytes; a header rounds the slope."""
    return np.dtype(dtype) == np.uint8 and math.isclose(slope, SLOPE, rel_tol=1e-4)
