"""What a gate did with a scan: each number against its formula, on maps small enough to count."""

import tracemalloc

import numpy as np
import pytest

from monai_attn.datasets.regions import Regions
from monai_attn.metrics.attention_numbers import gate_numbers


def line(*values):
    """An array (1, 1, Z)."""
    return np.array(values).reshape(1, 1, -1)


def stored(*alphas):
    """How coefficients are stored; None was not looked at."""
    return line(*[0 if a is None else 1 + round(254 * a) for a in alphas]).astype(np.uint8)


def test_every_number_of_a_map_that_can_be_counted_by_hand():
    numbers = gate_numbers(stored(None, 0, 1, 1, 0.5, 0.5), line(3, 0, 1, 0, 1, 0))
    assert numbers.seen == 5 / 6
    assert numbers.mean == 3 / 5
    assert numbers.dead == 1 / 5
    assert numbers.saturated == 2 / 5
    assert numbers.entropy == 2 / 5
    assert numbers.inside == 1.5 / 2
    assert numbers.outside == 1.5 / 3
    assert numbers.shares == {0: 0.5, 1: 0.5, 3: 0.0}
    assert numbers.volume_shares == {0: 3 / 5, 1: 2 / 5, 3: 0.0}
    assert numbers.enrichment(1) == pytest.approx(0.75 / 0.6)
    assert numbers.enrichment(3) is None, "none of it was looked at"


def test_they_are_those_of_the_voxels_themselves():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (7, 6, 5)).astype(np.uint8)
    labels = np.asfortranarray(rng.choice([0, 0, 0, 2, 70000], (7, 6, 5)))
    numbers = gate_numbers(values, labels)
    seen = values > 0
    alpha = (values.astype(float) - 1) / 254
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -np.nan_to_num(alpha * np.log2(alpha)) - np.nan_to_num(
            (1 - alpha) * np.log2(1 - alpha)
        )
    assert numbers.mean == pytest.approx(alpha[seen].mean())
    assert numbers.entropy == pytest.approx(bits[seen].mean())
    assert numbers.dead == pytest.approx((alpha[seen] < 0.01).mean())
    assert numbers.saturated == pytest.approx((alpha[seen] > 0.99).mean())
    assert numbers.inside == pytest.approx(alpha[seen & (labels > 0)].mean())
    assert numbers.outside == pytest.approx(alpha[seen & (labels == 0)].mean())
    assert set(numbers.shares) == {0, 2, 70000}
    for label, share in numbers.shares.items():
        part = seen & (labels == label)
        assert share == pytest.approx(alpha[part].sum() / alpha[seen].sum())
        assert numbers.volume_shares[label] == pytest.approx(part.sum() / seen.sum())
        assert numbers.enrichment(label) == pytest.approx(alpha[part].mean() / alpha[seen].mean())


def test_a_gate_that_is_the_same_everywhere_looks_where_chance_would():
    numbers = gate_numbers(stored(0.5, 0.5, 0.5, 0.5), line(0, 1, 1, 2))
    assert numbers.shares == numbers.volume_shares == {0: 0.25, 1: 0.5, 2: 0.25}
    assert {numbers.enrichment(label) for label in (0, 1, 2)} == {1.0}
    assert numbers.entropy == 1


@pytest.mark.parametrize(
    ("values", "labels", "missing"),
    [
        (stored(0.5, 0.5), line(0, 0), {"inside"}),
        (stored(0.5, None), line(0, 1), {"inside"}),
        (stored(0.5, 0.5), line(1, 1), {"outside"}),
        (
            stored(None, None),
            line(0, 1),
            {"mean", "dead", "saturated", "entropy", "inside", "outside"},
        ),
        (stored(0.5, 0.5)[..., :0], line(0, 1)[..., :0], None),
    ],
    ids=["no label", "a label nobody saw", "labels everywhere", "nothing seen", "no voxel"],
)
def test_what_does_not_exist_is_none(values, labels, missing):
    said = gate_numbers(values, labels).summary()
    absent = {name for name, value in said.items() if value is None}
    assert absent == (missing or set(said) - {"seen", "shares"})


def test_a_closed_gate_has_no_shares_to_give():
    numbers = gate_numbers(stored(0, 0), line(0, 1))
    assert numbers.dead == 1
    assert numbers.shares == {0: None, 1: None}
    assert numbers.enrichment(1) is None
    assert numbers.summary()["shares"] == {"1": None}


def test_a_summary_leaves_the_background_out_and_is_short():
    said = gate_numbers(stored(1 / 3, 1, 1), line(0, 1, 2)).summary()
    assert set(said["shares"]) == {"1", "2"}
    assert said["mean"] == round((85 / 254 + 2) / 3, 6)


def test_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"attention \(1, 1, 2\) and labels \(1, 1, 3\): shapes"):
        gate_numbers(stored(0, 0), line(0, 0, 0))


def test_memory_follows_a_layer_and_not_the_scan():
    values = np.full((64, 64, 200), 7, np.uint8, order="F")
    labels = np.zeros(values.shape, np.uint8, order="F")
    labels[20:40] = 1
    tracemalloc.start()
    gate_numbers(values, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.size / 2


def test_the_share_of_a_region_is_that_of_all_that_is_within_it():
    stored = np.array([[[1, 255, 255, 128]]], np.uint8)
    labels = np.array([[[0, 1, 2, 2]]])
    plain = gate_numbers(stored, labels)
    whole = gate_numbers(stored, labels, Regions({1: (1, 2), 2: (2,)}))
    assert (whole.inside, whole.outside, whole.mean) == (plain.inside, plain.outside, plain.mean)
    assert whole.shares[1] == pytest.approx(plain.shares[1] + plain.shares[2])
    assert whole.shares[2] == plain.shares[2]
    assert whole.volume_shares == {0: 0.25, 1: 0.75, 2: 0.5}
