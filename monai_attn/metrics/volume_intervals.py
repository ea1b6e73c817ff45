"""Intervals of a measured volume, computed from several views of one scan.

A view is the scan with a change that leaves the organ as it is. The spread is the variation of the volumes
over the views. A spread alone guarantees nothing, so the width of an interval is a number of spreads that
is fitted to contain the true volumes of cases that were not used for training (split conformal prediction:
Lei et al. 2018, "Distribution-Free Predictive Inference for Regression", arXiv:1604.04173).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

RATE = 0.8  # fraction of the true volumes that intervals should contain; 0.9 would need nine cases
LEAST_CASES = math.ceil(RATE / (1 - RATE) - 1e-9)
LEAST = 0.01  # of a volume; a smaller spread can be chance


def spread(views: Sequence[float]) -> float:
    """Return the standard deviation of the views' volumes, but at least 1 % of the first volume.

    Args:
        views: volume of each view in ml; the first is that of the unchanged scan.
    """
    return max(float(np.std(views)), LEAST * views[0])


def interval(views: Sequence[float], factor: float | None = None) -> tuple[float, float]:
    """Return the lowest and the highest plausible volume, in ml; they enclose that of the first view.

    Args:
        views: as for `spread`.
        factor: half-width of the interval in spreads; None for the range of the views, which contains the
            true volume at an unknown rate. That range is also used if the first volume is 0, since no
            factor was fitted for that.

    Example:
        >>> interval([80.0, 78.0, 83.0])
        (78.0, 83.0)
        >>> interval([80.0, 80.0, 80.0], factor=5.0)
        (76.0, 84.0)
    """
    if factor is None or not views[0]:
        return min(views), max(views)
    reach = factor * spread(views)
    return max(0.0, views[0] - reach), views[0] + reach


def fit_factor(
    truths: Sequence[float], views: Sequence[Sequence[float]], rate: float = RATE
) -> float | None:
    """Fit the factor with which an interval contains a new case's true volume with at least this chance.

    Args:
        truths: true volumes in ml of cases that were not used for training.
        views: volumes of the views of each case, as for `spread`.
        rate: 0..1. The factor is the k-th smallest ratio of error to spread of the n cases, where k is
            (n + 1) * rate, rounded up.

    Returns:
        The factor; None if there are too few cases, or the k-th ratio is infinite for lack of spread.
    """
    ratios = sorted(
        _ratio(abs(truth - volumes[0]), spread(volumes))
        for truth, volumes in zip(truths, views, strict=True)
    )
    k = math.ceil((len(ratios) + 1) * rate - 1e-9)
    if not ratios or k > len(ratios) or math.isinf(ratios[k - 1]):
        return None
    return math.ceil(ratios[k - 1] * 1e4) / 1e4  # rounded up, so that its own case is inside


def count_covered(truths: Sequence[float], intervals: Sequence[tuple[float, float]]) -> int:
    """Count the intervals that contain their true volume."""
    pairs = zip(truths, intervals, strict=True)
    return sum(low <= truth <= high for truth, (low, high) in pairs)


def _ratio(error: float, width: float) -> float:
    if error == 0:
        return 0.0
    return error / width if width else math.inf
