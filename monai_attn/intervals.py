"""How far a measured volume may be from the true one: an interval from several views of one scan.

A view is the scan with a change that leaves the organ as it is. How much the volumes of the views differ
is their spread. By itself a spread promises nothing. So the intervals of a network are as many spreads
wide as it took to hold the true volumes of cases that did not train (split conformal prediction: Lei et
al. 2018, "Distribution-Free Predictive Inference for Regression", arXiv:1604.04173).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

RATE = 0.8  # of the true volumes that intervals are to hold; 0.9 would need nine cases
LEAST_CASES = math.ceil(RATE / (1 - RATE) - 1e-9)
LEAST = 0.01  # of a volume: a smaller spread is chance


def spread(views: Sequence[float]) -> float:
    """How much the volumes of the views differ: their standard deviation, at least 1 % of the first.

    Args:
        views: ml of each view, first that of the scan as it is.
    """
    return max(float(np.std(views)), LEAST * views[0])


def interval(views: Sequence[float], factor: float | None = None) -> tuple[float, float]:
    """The lowest and the highest plausible volume, in ml; that of the first view lies between them.

    Args:
        views: as for `spread`.
        factor: how many spreads it reaches to either side; None for the range of the views, which holds
            the truth at no known rate. So it is where nothing was found: no factor was fitted for that.

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
    """The factor by which intervals hold the true volume of a further case with at least this chance.

    Args:
        truths: ml, of cases that did not train.
        views: as for `spread`, of each.
        rate: 0..1. Of n cases the factor is the ratio of error to spread that only n - k exceed, for k =
            (n + 1) * rate, rounded up.

    Returns:
        None where there are too few cases, or an error without any spread.
    """
    ratios = sorted(
        _ratio(abs(truth - seen[0]), spread(seen))
        for truth, seen in zip(truths, views, strict=True)
    )
    k = math.ceil((len(ratios) + 1) * rate - 1e-9)
    if not ratios or k > len(ratios) or math.isinf(ratios[k - 1]):
        return None
    return math.ceil(ratios[k - 1] * 1e4) / 1e4  # up: the case that it comes from is to be held


def held(truths: Sequence[float], intervals: Sequence[tuple[float, float]]) -> int:
    """How many intervals hold their true volume."""
    pairs = zip(truths, intervals, strict=True)
    return sum(low <= truth <= high for truth, (low, high) in pairs)


def _ratio(error: float, width: float) -> float:
    if error == 0:
        return 0.0
    return error / width if width else math.inf
