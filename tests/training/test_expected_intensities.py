"""The intensities that a bundle expects, from the cases that trained it."""

import numpy as np
import pytest

from monai_attn.inference.result_checks import Intensity
from monai_attn.training.expected_intensities import expected_ranges, prediction_interval


@pytest.mark.parametrize("n", [3, 8, 49])
def test_one_in_a_hundred_further_cases_lies_outside(n):
    drawn = np.random.default_rng(0).normal(90.0, 15.0, (4000, n + 1))
    outside = 0
    for *known, further in drawn.tolist():
        low, high = prediction_interval(known)
        outside += not low <= further <= high
    assert 0.006 < outside / len(drawn) < 0.015


def test_each_label_gets_the_ranges_of_the_cases_that_have_it():
    cases = [{1: Intensity(90.0 + i, 110.0 + 2 * i), 2: Intensity(40.0)} for i in range(5)]
    cases += [{}, {3: Intensity(1.0, 2.0)}]
    found = expected_ranges(cases)
    low, high = found[1]["intensity_hu"]
    assert (low + high) / 2 == pytest.approx(92.0, abs=0.1)
    low, high = found[1]["tissue_hu"]
    assert (low + high) / 2 == pytest.approx(114.0, abs=0.1)
    assert found[2] == {"intensity_hu": (30.0, 50.0)}, "cases that agree leave room for a scanner"
    assert 3 not in found, "one case says nothing about others"
