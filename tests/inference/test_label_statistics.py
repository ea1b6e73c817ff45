import numpy as np
import pytest

from monai_attn.inference.label_statistics import LabelStatistics, label_statistics

SHAPE = (10, 12, 8)
AFFINE = np.diag([2.0, 3.0, 5.0, 1.0])  # RAS, 0.03 ml a voxel


def scan():
    return np.random.default_rng(0).normal(40, 10, SHAPE)


def labelled(*boxes):
    labels = np.zeros(SHAPE, np.uint8)
    for label, *box in boxes:
        labels[tuple(slice(*ends) for ends in box)] = label
    return labels


def test_each_label_has_its_volume_and_intensity():
    labels = labelled((1, (2, 4), (3, 6), (2, 4)), (3, (6, 7), (6, 7), (5, 6)))
    image = scan()
    found = label_statistics(labels, image, AFFINE)
    assert [*found] == [1, 3]
    inside = image[labels == 1]
    assert found[1].volume_ml == pytest.approx(12 * 0.03)
    assert (found[1].mean_hu, found[1].sd_hu) == pytest.approx((inside.mean(), inside.std()))
    assert found[1].extent_mm == (4.0, 9.0, 10.0)
    assert (found[1].components, found[1].touches) == (1, ())
    assert found[3].sd_hu == 0


def test_components_and_faces_are_counted():
    labels = labelled((1, (0, 2), (3, 6), (2, 4)), (1, (6, 8), (6, 8), (6, 8)))
    found = label_statistics(labels, scan(), AFFINE)[1]
    assert found.components == 2
    assert found.touches == ("left edge", "last slice")


def test_a_label_that_does_not_occur_is_listed_if_expected():
    labels = labelled((2, (2, 4), (3, 6), (2, 4)))
    found = label_statistics(labels, scan(), AFFINE, [1, 2])
    assert [*found] == [1, 2]
    assert found[1] == LabelStatistics(0.0, None, None, 0, None, ())


def test_arrays_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"labels: shape \(1, 1, 1\); the image's \(10, 12, 8\)"):
        label_statistics(np.ones((1, 1, 1), int), scan(), AFFINE)
