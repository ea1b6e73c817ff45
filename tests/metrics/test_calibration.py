"""Probabilities and what they are worth: temperature, likelihood, calibration error."""

import numpy as np
import pytest
from scipy.special import softmax

from monai_attn.metrics.calibration import (
    RANGE,
    VoxelSample,
    at_edge,
    fit_temperature,
    nll,
    reliability,
)


def sample(logits, labels, weights=None):
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, float)
    return VoxelSample(np.asarray(logits, np.float32), np.asarray(labels), weights)


def honest(n=20000, classes=3, scale=1.0):
    """Logits whose probabilities are true: labels are drawn from them. Then the logits are scaled."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(n, classes)) * 2
    lots = random.random((n, 1))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < lots).sum(axis=1)
    return sample(logits * scale, labels)


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.5])
def test_the_temperature_undoes_what_logits_were_multiplied_by(scale):
    assert fit_temperature(honest(scale=scale)) == pytest.approx(scale, rel=0.03)


def test_no_temperature_nearby_is_better_and_one_is_not():
    given = honest(scale=3)
    best = fit_temperature(given)
    for other in (1.0, best * 0.9, best * 1.1):
        assert nll(given, best) < nll(given, other)


def test_a_weight_counts_as_often_as_it_says():
    logits, labels = [[2, 0], [0, 1], [1, 0]], [0, 0, 0]
    weighted = sample(logits, labels, [1, 3, 2])
    repeated = sample(np.repeat(logits, [1, 3, 2], axis=0), [0] * 6)
    assert nll(weighted) == pytest.approx(nll(repeated))
    assert reliability(weighted).ece == pytest.approx(reliability(repeated).ece)
    assert fit_temperature(weighted) == pytest.approx(fit_temperature(repeated), rel=1e-3)


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("without an error nothing says where to stop", sample([[5, -5], [-5, 5]], [0, 1])),
        ("no foreground, and none was found", sample([[5, -5]] * 4, [0] * 4)),
        ("no voxel at all", sample(np.zeros((0, 2)), np.zeros(0, int))),
    ],
)
def test_the_temperature_stays_one(rule, given):
    assert fit_temperature(given) == 1.0, rule
    assert np.isfinite(nll(given))


def test_where_all_is_wrong_the_temperature_stays_in_its_range():
    found = fit_temperature(sample([[50, -50]] * 4, [1] * 4))
    assert found == pytest.approx(RANGE[1], rel=0.01)


@pytest.mark.parametrize("right", [True, False], ids=["low", "high"])
def test_a_temperature_at_either_end_of_the_range_is_known_for_one(right):
    logits = np.array([[4.0, 0], [4, 0]] if not right else [[0.1, 0]] * 500, np.float32)
    labels = np.ones(len(logits), int) if not right else np.array([0] * 499 + [1])
    assert at_edge(fit_temperature(VoxelSample(logits, labels, np.ones(len(logits)))))
    assert not at_edge(1.0)


def test_a_large_logit_does_not_overflow():
    assert nll(sample([[1e4, -1e4]], [1])) == pytest.approx(2e4)


def logits_of(probability):
    return [np.log(probability), np.log(1 - probability)]


def test_the_calibration_error_by_hand():
    """Three voxels at 0.9 of which two are right, one at 0.58 that is wrong."""
    given = sample([logits_of(0.9)] * 3 + [logits_of(0.58)], [0, 0, 1, 1])
    found = reliability(given)
    assert found.ece == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.58, abs=1e-6)
    filled = found.share > 0
    np.testing.assert_allclose(found.share[filled], [0.25, 0.75])
    np.testing.assert_allclose(found.confidence[filled], [0.58, 0.9], atol=1e-6)
    np.testing.assert_allclose(found.accuracy[filled], [0, 2 / 3])
    assert np.flatnonzero(filled).tolist() == [8, 13]  # of 15 bins: (8/15, 9/15], (13/15, 14/15]


def test_true_probabilities_have_no_calibration_error_and_stretched_ones_have():
    assert reliability(honest()).ece < 0.01
    assert reliability(honest(scale=3)).ece > 0.1
    assert reliability(honest(scale=3), temperature=3).ece < 0.01


def test_an_empty_sample_has_no_calibration_error():
    assert reliability(sample(np.zeros((0, 2)), np.zeros(0, int))).ece == 0


def test_what_is_doubtful_is_chosen_by_the_unscaled_foreground_probability():
    given = sample([logits_of(p) for p in (0.995, 0.985, 0.5, 0.015, 0.005)], [0, 1, 0, 1, 1])
    np.testing.assert_allclose(given.doubtful.logits, given.logits[1:4])
    assert given.doubtful.labels.tolist() == [1, 0, 1]


def test_true_probabilities_stay_true_where_they_are_doubtful():
    assert reliability(honest().doubtful).ece < 0.02
