"""What a page holds of a volume: blocks of voxels, steps of values, text."""

import zlib
from base64 import b64decode

import numpy as np
import pytest

from monai_attn.reporting.packing import (
    choose_factors,
    encode,
    hu_levels,
    shrink,
    shrink_labels,
    shrink_map,
)

# shape, spacing, voxels at most, factors
FACTORS = [
    ((10, 10, 10), (1, 1, 1), 1000, (1, 1, 1)),
    ((10, 10, 10), (1, 1, 1), 999, (2, 2, 2)),
    ((512, 512, 200), (0.8, 0.8, 2.5), 16_000_000, (2, 2, 1)),
    ((512, 512, 1), (0.8, 0.8, 5), 1000, (17, 17, 1)),
    ((3, 3, 3), (1, 1, 1), 0, (3, 3, 3)),
]


@pytest.mark.parametrize(("shape", "spacing", "most", "factors"), FACTORS)
def test_the_finest_axes_are_shrunk_first(shape, spacing, most, factors):
    assert choose_factors(shape, spacing, most) == factors


def test_a_block_is_the_mean_of_its_voxels_also_at_the_end():
    values = np.arange(5.0).reshape(5, 1, 1)
    np.testing.assert_allclose(shrink(values, (2, 1, 1)).ravel(), [0.5, 2.5, 4])


def test_a_block_has_the_label_of_most_of_its_voxels_if_half_have_one():
    labels = np.array([[1, 1, 2], [0, 0, 0], [1, 2, 2], [0, 1, 2]], np.uint8).reshape(4, 3, 1)
    assert shrink_labels(labels, (1, 3, 1)).ravel().tolist() == [1, 0, 2, 1]
    halves = np.array([[0, 3], [0, 0]], np.uint8).reshape(2, 2, 1)
    assert shrink_labels(halves, (1, 2, 1)).ravel().tolist() == [3, 0]
    assert shrink_labels(labels, (1, 1, 1)) is labels


def test_a_map_is_the_mean_of_what_was_looked_at():
    stored = np.array([[1, 255], [0, 255], [0, 0]], np.uint8).reshape(3, 2, 1)
    assert shrink_map(stored, (1, 2, 1)).ravel().tolist() == [26, 51, 0]
    assert shrink_map(stored, (1, 1, 1)).ravel().tolist() == [1, 51, 0, 51, 0, 0]


def test_a_step_is_finest_in_the_middle_of_the_window():
    levels = np.array(hu_levels(-1024, 3071, (-150, 250)))
    steps = np.diff(levels)
    assert (levels[0], levels[-1]) == (-1024, 3071)
    assert steps.min() == pytest.approx(4.5, abs=0.1)
    assert abs(levels[steps.argmin()] - 50) < 5
    inside = (levels[:-1] > -150) & (levels[1:] < 250)
    assert steps[inside].max() < 6.5


def test_bytes_are_packed_with_x_fastest():
    values = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
    assert list(zlib.decompress(b64decode(encode(values))))[:4] == [0, 6, 12, 18]


def test_slices_are_packed_as_steps_from_the_one_below():
    values = np.array([[[7, 9, 255, 1]]], np.uint8)
    assert list(zlib.decompress(b64decode(encode(values)))) == [7, 2, 246, 2]
