import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes

from monai_attn.reporting.colours import label_colour
from monai_attn.reporting.planes import PLANES, Marked, ras_affine, tilt, to_ras
from scans import AFFINES, turned

SHAPE = (4, 3, 2)


def test_the_letters_of_the_planes_are_radiological():
    assert {plane.name: plane.letters for plane in PLANES} == {
        "axial": "RLAP",
        "coronal": "RLSI",
        "sagittal": "APSI",
    }


@pytest.mark.parametrize("name", AFFINES)
def test_a_voxel_stays_where_it_is_in_the_patient(name):
    affine = AFFINES[name]
    values = np.arange(24).reshape(SHAPE)
    turned, new = to_ras(values, affine), ras_affine(affine, SHAPE)
    assert aff2axcodes(new) == ("R", "A", "S")
    for value in (0, 5, 23):
        (before,), (after,) = np.argwhere(values == value), np.argwhere(turned == value)
        np.testing.assert_allclose(apply_affine(affine, before), apply_affine(new, after))


def test_the_centre_lies_in_the_label_in_the_slice_with_the_most_of_it():
    mask = np.zeros((9, 9, 9), bool)
    mask[2:5, 6, 7] = True
    mask[8, 1, :7] = True  # more in all, and far away
    assert Marked(mask, np.eye(4)).centre == (3, 6, 7)
    ring = np.zeros((9, 9, 1), bool)
    ring[1:8, 1:8] = True
    ring[2:7, 2:7] = False
    assert ring[Marked(ring, np.eye(4)).centre]
    assert Marked(np.zeros((9, 6, 3), bool), np.eye(4)).centre == (4, 3, 1)


def test_the_tilt_is_that_of_the_patient():
    assert tilt(AFFINES["LPS"]) == pytest.approx(0, abs=1e-6)
    assert tilt(turned(12)) == pytest.approx(12, abs=0.01)


def test_a_label_has_one_colour():
    colours = [label_colour(label) for label in range(1, 7)]
    assert len(set(colours)) == 6
    assert label_colour(7) == colours[0]
