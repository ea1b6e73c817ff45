from pathlib import Path

import numpy as np
import pytest

from monai_attn.io.affine import check_affine, shear_warning, spaced
from scans import AFFINE, AFFINES, fails

SCAN = Path("a.nii")


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_affines_that_place_a_volume(affine):
    check_affine(SCAN, affine)


# the second row, the fault
BAD_ROWS = {
    "NaN": ([np.nan, 0, 0, 0], "a.nii: the affine is not finite: [["),
    "infinite": ([0, 1, 0, np.inf], "a.nii: the affine is not finite: [["),
    "zero": ([0, 0, 0, 0], "a.nii: the affine is singular: [["),
    "parallel to the first": ([-2, 0, 0, 0], "a.nii: the affine is singular: [["),
    "too fine": ([0, 0.049, 0, 0], "a.nii: spacing 2 x 0.049 x 5 mm (expected 0.05 to 20)"),
    "too coarse": ([0, 20.1, 0, 0], "a.nii: spacing 2 x 20.1 x 5 mm (expected 0.05 to 20)"),
}


@pytest.mark.parametrize(("row", "fault"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_affines_that_place_none(row, fault):
    affine = AFFINE.copy()
    affine[1] = row
    fails(fault, check_affine, SCAN, affine)


# the angle by which the slices slide, whether it is seen
ANGLES = [(0, False), (0.05, False), (0.06, True), (12, True), (-25, True)]


@pytest.mark.parametrize(("degrees", "seen"), ANGLES)
def test_a_gantry_that_is_tilted_is_seen(degrees, seen):
    affine = AFFINE.copy()
    affine[1, 2] = 5 * np.tan(np.radians(degrees))
    doubt = (
        f"its axes are sheared by {abs(degrees):.2g} degrees (gantry tilt?); resampled to straight"
    )
    assert shear_warning(affine).startswith(doubt) if seen else shear_warning(affine) == ""


def test_sizes_as_people_write_them():
    assert spaced(np.array([0.78125, 1, 5.0])) == "0.7812 x 1 x 5"
