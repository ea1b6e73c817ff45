"""The grid, the window and the network that follow from a data set, without a file."""

import math

import numpy as np
import pytest
import torch

from fingerprints import DATA, data
from monai_attn import AttentionUNet
from monai_attn.planning.network_choice import (
    BOTTOM,
    COARSEST,
    NetworkChoice,
    choose_network,
    strides_for,
    target_spacing,
    window,
)


@pytest.mark.parametrize("voxels", [32**3, 96**3, 128**3])
@pytest.mark.parametrize("name", DATA)
def test_the_window_suits_the_network_whatever_the_data(name, voxels):
    made = choose_network(DATA[name], voxels)
    steps = np.prod(made.strides, axis=0)
    assert math.prod(made.roi_size) <= voxels
    for size, step in zip(made.roi_size, steps, strict=True):
        assert size % step == 0
        if step > 1:
            assert size // step >= BOTTOM
    assert len(made.channels) == len(made.strides) + 1
    for size, n, step in zip(made.roi_size, made.grid, steps, strict=True):
        assert size < n + step  # no longer than the scan, up to the next multiple


def test_the_shipped_bundles_network_follows_from_its_own_window():
    assert strides_for((96, 96, 96), (2.0, 2.0, 2.0)) == ((2, 2, 2),) * 4
    made = choose_network(data(), 96**3)
    assert made.spacing == (2, 2, 2)
    assert made.channels == (16, 32, 64, 128, 256)
    assert made.roi_size == (96, 96, 96)


@pytest.mark.parametrize(
    ("spacings", "expected"),
    [
        ([(1, 1, 2), (2, 2, 3), (3, 3, 4)], (2, 2, 3)),
        ([(1, 1, 3)] * 9 + [(1, 1, 5)] * 11, (1, 1, 3)),  # 5 is over 3 times 1: the 10th percentile
        ([(4, 1, 1)] * 3, (4, 1, 1)),
        ([(1, 1, 0.5)] * 4 + [(1, 1, 5)] * 6, (1, 1, 1)),  # but never finer than the other axes
    ],
)
def test_spacing_is_the_median_and_that_of_thin_slices_where_they_are_thick(spacings, expected):
    assert tuple(target_spacing(spacings)) == expected


def test_in_2d_the_slices_stay_at_their_median():
    spacings = [(1, 1, 3)] * 9 + [(1, 1, 5)] * 11
    assert tuple(target_spacing(spacings, dims=2)) == (1, 1, 5)


def test_a_grid_is_coarsened_until_a_window_holds_a_structure():
    fine = data((400, 400, 400), (0.8, 0.8, 0.8), (160.0, 100.0, 100.0))
    made = choose_network(fine, 64**3)
    assert made.coarsened
    assert 0.8 < max(made.spacing) <= COARSEST
    assert math.prod(made.roi_size) * math.prod(made.spacing) > 0.7 * 160 * 100 * 100
    assert not choose_network(fine, 200**3).coarsened


def test_the_finest_axes_are_coarsened_first():
    made = choose_network(data((512, 512, 90), (0.7, 0.7, 2.5)), 64**3)
    assert made.coarsened
    assert 0.7 < made.spacing[0] == made.spacing[1] <= made.spacing[2] == 2.5


def test_a_window_is_a_cube_in_mm_that_ends_with_the_scan_and_holds_the_box():
    ones = np.ones(3, dtype=int)
    spacing, box, grid = np.array([1.0, 1, 4]), np.array([10, 10, 3]), np.array([90, 90, 90])
    assert window(spacing, box, grid, 40 * 40 * 10, ones) == pytest.approx((40, 40, 10), abs=2)
    assert window(spacing, box, np.array([90, 90, 4]), 10**6, ones) == (90, 90, 4)
    long = window(spacing, np.array([80, 10, 3]), grid, 10_000, ones)
    assert long[0] == 80
    assert math.prod(long) <= 10_000


def test_a_level_is_given_up_where_its_multiples_would_cut_the_structure():
    thick = data((400, 400, 62), (0.75, 0.75, 2.5), (129.0, 49.0, 98.0))
    layouts = [choose_network(thick, voxels) for voxels in range(700_000, 1_100_000, 50_000)]
    assert {len(made.strides) for made in layouts} == {4, 5}
    for made in layouts:
        assert not made.coarsened
        assert (np.multiply(made.roi_size, made.spacing) >= (129, 49, 98)).all()


@pytest.mark.parametrize(
    ("size", "spacing", "expected"),
    [
        ((16, 16), (1, 1), ((2, 2), (2, 2))),
        ((15, 16), (1, 1), ((2, 2), (1, 2))),
        ((64, 64, 16), (1, 1, 4), ((2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1))),
        ((32, 32, 4), (1, 1, 1), ((2, 2, 1),) * 3),
        ((7, 7, 7), (1, 1, 1), ()),
    ],
)
def test_axes_are_halved_while_voxels_remain_and_coarse_ones_wait(size, spacing, expected):
    assert strides_for(size, spacing) == expected


def test_channels_double_up_to_320():
    assert choose_network(data(), 160**3).channels == (16, 32, 64, 128, 256, 320)


def test_scans_too_small_for_two_levels_are_refused():
    with pytest.raises(
        ValueError, match="got 5 x 5 x 5 voxels at 2 x 2 x 2 mm, expected 8 or more along an axis"
    ):
        choose_network(data((5, 5, 5), box=(4.0, 4.0, 4.0)), 64**3)


@pytest.mark.parametrize("roi", [(96, 96, 96), (64, 64, 16), (192, 192)])
def test_the_weights_are_those_of_the_network_to_a_few_per_cent(roi):
    made = NetworkChoice((1.0, 1.0, 1.0), (200,) * 3, roi, strides_for(roi, (1.0,) * len(roi)))
    with torch.device("meta"):
        network = AttentionUNet(
            len(roi), 1, 2, channels=made.channels, strides=made.strides, gate="soft"
        )
    count = sum(weights.numel() for weights in network.parameters())
    assert made.weights == pytest.approx(count, rel=0.08)


def test_memory_follows_windows_classes_and_features():
    made = choose_network(data(), 64**3)
    one, two = made.step_bytes(1, 2), made.step_bytes(2, 2)
    fixed = made.step_bytes(0, 2)
    assert two - fixed == pytest.approx(2 * (one - fixed), rel=1e-6)
    assert made.step_bytes(1, 12) > one
    assert made.cache_bytes(3) == 3 * 5 * math.prod(made.grid)


def test_memory_counts_what_a_step_keeps_for_its_gradients():
    """More than the tensors that autograd holds on to, and no several times as much."""
    made = NetworkChoice((2.0,) * 3, (99,) * 3, (32, 32, 32), ((2, 2, 2),) * 2)
    held = {}

    def keep(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    network = AttentionUNet(3, 1, 2, channels=made.channels, strides=made.strides)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        out = network(torch.rand(1, 1, *made.roi_size))
    kept = sum(held.values())
    assert out.requires_grad
    assert 1 < (made.step_bytes(1, 2) - made.step_bytes(0, 2)) / kept < 3
