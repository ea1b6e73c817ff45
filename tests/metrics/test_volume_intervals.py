"""Intervals around volumes: what they hold, and how often."""

import numpy as np
import pytest

from monai_attn.metrics.volume_intervals import RATE, count_covered, fit_factor, interval, spread


@pytest.mark.parametrize("factor", [None, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("views", [[80.0, 78, 83], [0.0, 0, 0], [5.0], [1.0, 90, 90]])
def test_the_volume_lies_in_its_interval_and_none_is_below_zero(views, factor):
    low, high = interval(views, factor)
    assert 0 <= low <= views[0] <= high


def test_the_spread_is_the_standard_deviation_and_at_least_a_hundredth():
    assert spread([100.0, 104, 96]) == pytest.approx(np.std([100, 104, 96]))
    assert spread([100.0, 100, 100]) == 1.0
    assert spread([0.0, 0.0]) == 0


def test_an_interval_reaches_as_many_spreads_as_the_factor_says():
    assert interval([100.0, 100.0], 2.5) == (97.5, 102.5)
    assert interval([100.0, 100.0], 250.0) == (0, 350)


def test_the_factor_by_hand():
    """Errors of 1, 2, 3 and 4 spreads of 1 ml: the least that holds four of five, one of them unseen."""
    truths, views = [101.0, 98, 103, 96], [[100.0, 100]] * 4
    assert fit_factor(truths, views, rate=0.8) == 4
    assert fit_factor(truths, views, rate=0.6) == 3
    assert count_covered(truths, [interval(seen, 3) for seen in views]) == 3


def test_the_cases_that_a_factor_comes_from_lie_in_their_intervals():
    """However it is rounded."""
    random = np.random.default_rng(0)
    for _ in range(100):
        views = random.gamma(5, 20, size=(10, 1)) * random.normal(1, 0.03, size=(10, 5))
        truths = views[:, 0] + random.normal(0, 4, size=10)
        factor = fit_factor(truths, views)
        assert count_covered(truths, [interval(seen, factor) for seen in views]) == 9


def test_where_nothing_was_found_it_is_the_range_of_the_views():
    """No factor was fitted for that, and a spread of what was not found promises nothing."""
    assert interval([0.0, 3.0, 0.0], 2.0) == (0, 3)


@pytest.mark.parametrize(
    ("rule", "truths", "views"),
    [
        ("no case", [], []),
        ("three cases cannot promise four in five", [100.0] * 3, [[100.0]] * 3),
        ("what no view finds has no spread", [50.0] * 4, [[0.0, 0]] * 4),
    ],
)
def test_there_is_no_factor(rule, truths, views):
    assert fit_factor(truths, views) is None, rule


def test_intervals_hold_further_volumes_at_the_stated_rate():
    """Over many draws of 10 cases to fit and one to hold, whatever the errors look like."""
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        views = random.gamma(5, 20, size=(11, 1)) * random.normal(1, 0.03, size=(11, 5))
        truths = views[:, 0] + random.standard_t(3, size=11) * 4 + 2
        factor = fit_factor(truths[:10], views[:10])
        hits += count_covered(truths[10:], [interval(views[10], factor)])
    assert RATE - 0.03 < hits / 1000 < RATE + 0.06
