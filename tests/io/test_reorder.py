"""The same voxels in the same places, stored in another order of axes."""

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_attn.io.grid import Grid, same_grid
from monai_attn.io.reorder import axis_order, order_doubt, reordered
from monai_attn.io.volume import Volume
from scans import AFFINE, AFFINES, VALUES

ORDERS = [
    [[axis, sign] for axis, sign in zip(axes, signs, strict=True)]
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def volume(values, affine, name="labels.nii.gz"):
    return Volume(values.shape, affine, 1, Path(name), data=np.asarray(values, np.float32))


def stored(order, affine):
    """The same scan, with its axes in another order."""
    image = nib.Nifti1Image(VALUES.astype(np.int16), affine).as_reoriented(np.array(order))
    return volume(np.asarray(image.dataobj), image.affine)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_all_48_orders_of_a_grid_lead_back_to_it(affine):
    scan = volume(VALUES, affine, "scan.nii.gz")
    for order in ORDERS:
        back = reordered(stored(order, affine), scan)
        assert same_grid(scan.shape, back.affine, affine)
        np.testing.assert_array_equal(back.data, VALUES)
        assert back.data.flags.c_contiguous


def test_the_same_order_is_returned_as_it_is():
    scan = volume(VALUES, AFFINE)
    assert reordered(scan, scan) is scan
    assert order_doubt(scan, scan) == ""


def test_another_order_is_said():
    scan = volume(VALUES, AFFINE, "scan.nii.gz")
    assert order_doubt(stored([[1, 1], [0, -1], [2, 1]], AFFINE), scan) == (
        "labels.nii.gz: stored with other axes than scan.nii.gz (ALS instead of LPS); reordered without "
        "interpolation"
    )


def moved(affine):
    other = affine.copy()
    other[0, 3] += 0.01
    return other


def stretched(affine):
    return affine @ np.diag([1.01, 1, 1, 1])


def turned(affine):
    angle = np.radians(2)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


@pytest.mark.parametrize("change", [moved, stretched, turned])
def test_another_grid_has_no_order(change):
    scan = Grid(VALUES.shape, AFFINE, 1, Path("scan.nii.gz"))
    for order in ORDERS[::7]:
        other = stored(order, change(AFFINE))
        assert axis_order(other, scan) is None
        assert reordered(other, scan) is other


def test_another_shape_has_no_order():
    scan = Grid((4, 3, 3), AFFINE, 1, Path("scan.nii.gz"))
    assert axis_order(volume(VALUES, AFFINE), scan) is None
