import numpy as np
import pytest

from monai_attn.io.grid import grid_offset, same_grid, voxel_ml

SHAPE = (4, 3, 2)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, -1, 0, 120], [0, 0, 5, -300], [0, 0, 0, 1]])  # LPS, in RAS
SHEARED = AFFINE + np.array([[0, 0, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
TURN = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
AFFINES = {
    "RAS": np.diag([2.0, 1.0, 5.0, 1.0]),
    "LPS": AFFINE,
    "axes exchanged": AFFINE[:, [2, 0, 1, 3]],
    "oblique": TURN @ AFFINE,
    "sheared": SHEARED,
}


def shifted(affine, mm):
    moved = affine.copy()
    moved[:3, 3] += mm
    return moved


# other affine, how far it puts a corner of a (4, 3, 2) grid from where AFFINE has it, mm
OFFSETS = {
    "itself": (AFFINE, 0),
    "moved along a diagonal": (shifted(AFFINE, (3, 4, 0)), 5),
    "longer by 0.1 mm a voxel": (AFFINE + np.diag([-0.1, 0, 0, 0]), 0.3),
    "flipped": (AFFINE * [-1, 1, 1, 1], 12),
    "sheared": (SHEARED, 1.5),
    "rounded": (shifted(AFFINE, 9e-4), 9e-4 * 3**0.5),
}


@pytest.mark.parametrize(("other", "offset"), OFFSETS.values(), ids=OFFSETS.keys())
def test_how_far_two_grids_are_apart(other, offset):
    assert grid_offset(SHAPE, AFFINE, other) == pytest.approx(offset)
    assert grid_offset(SHAPE, other, AFFINE) == pytest.approx(offset)


@pytest.mark.parametrize(
    ("mm", "same"), [(0, True), (9e-4, True), (1.1e-3, False), (np.nan, False)]
)
def test_grids_that_agree_to_a_micrometre_are_the_same(mm, same):
    assert same_grid(SHAPE, AFFINE, shifted(AFFINE, (mm, 0, 0))) is same


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_a_voxel_of_10_cubic_millimetres(affine):
    assert voxel_ml(affine) == pytest.approx(0.01)
