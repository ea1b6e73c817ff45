import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)

from monai_attn.metrics.surface_distances import SurfaceScore, surface_score


def box(shape, *sides):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def surface_of(mask):
    """The voxels, in index coordinates, with a face on what is outside the mask."""
    padded = np.pad(mask, 1)
    buried = np.ones_like(mask)
    for axis in range(3):
        for step in (-1, 1):
            buried &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return np.argwhere(mask & ~buried)


def by_hand(predicted, expected, spacing):
    """The same scores from all pairs of surface voxels."""
    one, other = (surface_of(mask) * np.array(spacing) for mask in (predicted, expected))
    pairs = np.linalg.norm(one[:, None] - other[None], axis=-1)
    ways = pairs.min(axis=1), pairs.min(axis=0)
    both = np.concatenate(ways)
    hausdorff = max(np.percentile(way, 95) for way in ways)
    return both.mean(), hausdorff, np.mean(both <= 2 + 1e-5)


def of_monai(predicted, expected, spacing):
    masks = [torch.from_numpy(mask)[None, None] for mask in (predicted, expected)]
    options = {"include_background": True, "spacing": spacing}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of an argument MONAI passes to itself
        return (
            compute_average_surface_distance(*masks, symmetric=True, **options).item(),
            compute_hausdorff_distance(*masks, percentile=95, **options).item(),
            compute_surface_dice(*masks, [2.0], **options).item(),
        )


def values(score):
    return score.surface_distance_mm, score.hd95_mm, score.nsd_2mm


# predicted, expected, spacing, mean distance, HD95, NSD
BY_RULE = {
    "equal": (box((6, 6, 6), (1, 5), (1, 5), (1, 5)), 0, (1, 1, 1), 0, 0, 1),
    "a plane one thick slice away": (box((4, 4, 4), (1, 2)), 1, (5, 1, 1), 5, 5, 0),
    "a plane one thin slice away": (box((4, 4, 4), (1, 2)), 1, (2, 9, 9), 2, 2, 1),
    "at the edge of the array": (box((4, 4, 4), (0, 1)), 3, (1.5, 1, 1), 4.5, 4.5, 0),
}


@pytest.mark.parametrize("row", BY_RULE.values(), ids=BY_RULE.keys())
def test_distances_known_by_rule(row):
    mask, shift, spacing, *expected = row
    assert values(surface_score(np.roll(mask, shift, 0), mask, spacing)) == pytest.approx(expected)


SIDES = st.integers(1, 5)
MASKS = st.tuples(st.tuples(SIDES, SIDES, SIDES), st.integers(0, 2**32 - 1), st.floats(0.05, 1))


@settings(deadline=None, max_examples=60)
@given(MASKS, st.tuples(*[st.sampled_from([0.7, 1.0, 1.25, 2.0, 5.0])] * 3))
def test_any_masks_score_as_by_hand(masks, spacing):
    shape, seed, share = masks
    rng = np.random.default_rng(seed)
    predicted, expected = rng.random((2, *shape)) < share
    predicted[tuple(rng.integers(0, shape))] = True  # none is empty
    expected[tuple(rng.integers(0, shape))] = True
    score = surface_score(predicted, expected, spacing)
    assert values(score) == pytest.approx(by_hand(predicted, expected, spacing), abs=1e-5)


# two boxes in an array of (20, 18, 16)
PLACES = {
    "in the middle": (((6, 12), (5, 11), (4, 9)), ((7, 14), (5, 10), (6, 10))),
    "at the border": (((0, 5), (0, 18), (9, 16)), ((0, 6), (12, 18), (8, 16))),
    "in opposite corners": (((0, 2), (0, 2), (0, 2)), ((18, 20), (16, 18), (14, 16))),
    "one within the other": (((2, 18), (2, 16), (2, 14)), ((8, 12), (8, 12), (8, 12))),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.8, 5.0)])
def test_the_cropped_masks_score_as_the_whole_arrays_by_monai(place, spacing):
    predicted, expected = (box((20, 18, 16), *sides) for sides in place)
    score = surface_score(predicted, expected, spacing)
    assert values(score) == pytest.approx(of_monai(predicted, expected, spacing), rel=1e-6)


def test_air_around_changes_nothing():
    rng = np.random.default_rng(0)
    masks = rng.random((2, 5, 6, 4)) < 0.4
    padded = [np.pad(mask, ((9, 1), (0, 4), (3, 7))) for mask in masks]
    assert surface_score(*padded, (0.7, 1, 3)) == surface_score(*masks, (0.7, 1, 3))


def test_exchanging_and_flipping_the_masks_changes_nothing():
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 5, 6, 4)) < 0.4
    score = values(surface_score(one, other, (0.7, 1, 3)))
    assert values(surface_score(other, one, (0.7, 1, 3))) == pytest.approx(score)
    flipped = surface_score(np.flip(one), np.flip(other), (0.7, 1, 3))
    assert values(flipped) == pytest.approx(score)


def test_a_few_stray_voxels_do_not_decide_the_hausdorff_distance():
    expected = box((30, 12, 12), (1, 11), (1, 11), (1, 11))
    predicted = expected.copy()
    predicted[29, 0, 0] = True
    assert surface_score(predicted, expected, (1, 1, 1)).hd95_mm == 0


@pytest.mark.parametrize("size", [0.4000001, 0.4, 0.3999999])
def test_the_rounding_of_an_affine_does_not_decide_what_is_within_two_millimetres(size):
    expected = box((12, 3, 3), (0, 1))
    predicted = np.roll(expected, 5, 0)  # 2 mm
    assert surface_score(predicted, expected, (size, 1, 1)).nsd_2mm == 1


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_mask_is_refused(empty):
    masks = [box((3, 3, 3), (0, 2)), box((3, 3, 3), (0, 2))]
    masks[empty][:] = False
    with pytest.raises(ValueError, match="an empty mask has no surface"):
        surface_score(*masks, (1, 1, 1))


def test_no_voxel_of_the_masks_is_changed():
    mask = box((4, 4, 4), (1, 3))
    mask.flags.writeable = False
    assert surface_score(mask, mask, (1, 1, 1)) == SurfaceScore(0, 0, 1)
