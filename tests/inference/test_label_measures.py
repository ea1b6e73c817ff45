"""What is measured of a label, on grids of every direction."""

import nibabel as nib
import numpy as np
import pytest

from grids import AFFINES
from monai_attn.datasets.regions import Regions
from monai_attn.inference.label_measures import Pieces, content_box, count_pieces, measure_labels
from monai_attn.io.grid import voxel_ml

RAS = np.diag([2.0, 3.0, 4.0, 1.0])
SHAPE = (10, 12, 8)


def box(*sides, value=1, shape=SHAPE):
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(*side) for side in sides)] = value
    return labels


INNER = box((2, 5), (3, 7), (2, 6))


def test_volume_and_extent_are_in_the_patients_millimetres():
    (found,) = measure_labels(INNER, RAS).values()
    assert found.volume_ml == pytest.approx(48 * 24 / 1000)
    assert found.extent_mm == pytest.approx((6, 12, 16))
    assert found.pieces == Pieces(1, 1)
    assert found.faces == ()


def test_a_region_is_measured_with_all_that_is_within_it():
    labels = INNER.copy()
    labels[3] *= 2  # a core that cuts the rest of the whole in two
    regions = Regions({1: (1, 2), 2: (2,)})
    whole, core = measure_labels(labels, RAS, regions=regions).values()
    assert (whole.volume_ml, whole.pieces) == (pytest.approx(48 * 24 / 1000), Pieces(1, 1))
    assert (core.volume_ml, core.pieces) == (pytest.approx(16 * 24 / 1000), Pieces(1, 1))
    assert count_pieces(labels, regions) == {1: Pieces(1, 1), 2: Pieces(1, 1)}
    assert count_pieces(labels)[1] == Pieces(2, 2)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_extent_is_along_the_patients_axes_whatever_the_voxels_are(affine):
    corners = np.array(np.meshgrid((1.5, 4.5), (2.5, 6.5), (1.5, 5.5))).reshape(3, -1).T
    places = nib.affines.apply_affine(affine, corners)
    (found,) = measure_labels(INNER, affine).values()
    assert found.extent_mm == pytest.approx(np.ptp(places, axis=0))
    assert found.volume_ml == pytest.approx(48 * voxel_ml(affine))


def test_each_label_is_measured_by_itself():
    found = measure_labels(INNER + box((7, 9), (9, 11), (3, 5), value=2), RAS)
    assert {label: one.extent_mm for label, one in found.items()} == {
        1: pytest.approx((6, 12, 16)),
        2: pytest.approx((4, 6, 8)),
    }


# the label's box, the orientation of the voxels, the faces it touches
FACES = {
    "none": (((2, 5), (3, 7), (2, 6)), "RAS", ()),
    "first slice": (((2, 5), (3, 7), (0, 6)), "RAS", ("first slice",)),
    "last slice": (((2, 5), (3, 7), (2, 8)), "RAS", ("last slice",)),
    "both": (((2, 5), (3, 7), (0, 8)), "RAS", ("first slice", "last slice")),
    "left": (((0, 5), (3, 7), (2, 6)), "RAS", ("left edge",)),
    "right": (((2, 10), (3, 7), (2, 6)), "RAS", ("right edge",)),
    "back": (((2, 5), (0, 7), (2, 6)), "RAS", ("back edge",)),
    "front": (((2, 5), (3, 12), (2, 6)), "RAS", ("front edge",)),
    "left in an LPS file": (((2, 10), (3, 7), (2, 6)), "LPS", ("left edge",)),
    "front in an LPS file": (((2, 5), (0, 7), (2, 6)), "LPS", ("front edge",)),
    "coronal slices": (((0, 5), (3, 7), (0, 6)), "SRA", ("lower edge", "first slice")),
    "one voxel from it": (((1, 9), (1, 11), (1, 7)), "RAS", ()),
}


@pytest.mark.parametrize(("sides", "codes", "faces"), FACES.values(), ids=FACES.keys())
def test_faces_are_named_for_the_reader(sides, codes, faces):
    turn = nib.orientations.axcodes2ornt(codes)
    affine = nib.orientations.inv_ornt_aff(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), turn), SHAPE
    )
    assert nib.aff2axcodes(affine) == tuple(codes)
    (found,) = measure_labels(box(*sides), affine).values()
    assert found.faces == faces


def test_a_face_is_where_the_scan_ends_and_not_its_padding():
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    image[..., 6:] = -1024
    image[:1] = -1024
    content = content_box(image)
    assert content == (slice(1, 10), slice(0, 12), slice(0, 6))
    assert measure_labels(INNER, RAS)[1].faces == ()
    assert measure_labels(INNER, RAS, content)[1].faces == ("last slice",)


def test_an_image_of_one_value_is_no_error():
    content_box(np.zeros(SHAPE, np.float32))


def test_a_piece_of_a_tenth_of_the_largest_is_sizeable():
    labels = box((0, 5), (0, 10), (0, 1))  # 50 voxels
    labels[0:5, 0, 3] = 1
    labels[0:4, 0, 6] = 1
    assert count_pieces(labels) == {1: Pieces(in_all=3, sizeable=2)}
    assert count_pieces(np.zeros(SHAPE, np.uint8)) == {}
