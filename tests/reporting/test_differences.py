import numpy as np
import pytest

from monai_attn.reporting.differences import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    OTHER_LABEL,
    differences_of,
    places_of,
)

# label, label in the reference, kind
KINDS = [
    (0, 0, 0),
    (1, 1, 0),
    (1, 0, FALSE_POSITIVE),
    (0, 2, FALSE_NEGATIVE),
    (1, 2, OTHER_LABEL),
]


def column(*values):
    return np.array(values, np.uint8).reshape(1, 1, -1)


@pytest.mark.parametrize(("label", "expected", "kind"), KINDS)
def test_a_voxel_has_the_kind_of_its_difference(label, expected, kind):
    assert differences_of(column(label), column(expected)).item() == kind


def test_an_ignored_voxel_does_not_differ():
    ignored = column(1, 0).astype(bool)
    assert differences_of(column(1, 1), column(0, 0), ignored).ravel().tolist() == [0, 1]


def test_places_are_connected_voxels_of_one_kind_largest_first():
    kinds = np.zeros((6, 6, 2), np.uint8)
    kinds[0, 0, 0] = kinds[1, 1, 1] = FALSE_POSITIVE  # they touch at a corner
    kinds[2, 2, 1] = FALSE_NEGATIVE  # at the corner of the first, but of another kind
    kinds[5, 3:6, 0] = FALSE_NEGATIVE
    places = places_of(kinds)
    assert [(place.kind, place.voxels) for place in places] == [
        (FALSE_NEGATIVE, 3),
        (FALSE_POSITIVE, 2),
        (FALSE_NEGATIVE, 1),
    ]
    assert places[0].at == (5, 4, 0)


def test_a_place_is_a_voxel_of_it_however_it_is_bent():
    kinds = np.zeros((9, 9, 3), np.uint8)
    kinds[1:8, 1:8, 1] = FALSE_POSITIVE
    kinds[2:7, 2:7, 1] = 0
    (place,) = places_of(kinds)
    assert kinds[place.at] == FALSE_POSITIVE
    assert place.at[2] == 1


def test_what_does_not_differ_has_no_places():
    assert places_of(np.zeros((3, 3, 3), np.uint8)) == []
