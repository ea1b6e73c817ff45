import numpy as np
import pytest

from monai_attn.datasets.regions import (
    Regions,
    layers,
    named_regions,
    read_regions,
    region_volumes_ml,
)
from scans import fails

TUMOUR = Regions({1: (1, 2, 3), 3: (2, 3), 2: (2,)})  # organ, masses and tumour, as in KiTS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "no region"),
        ({"1": []}, "has no value"),
        ({"1": [2]}, "its label must be one of them"),
        ({"0": [0]}, "invalid value (got 0"),
        ({"1": [1, 255]}, "got 255, expected a whole number from 1 to 254"),
        ({"1": [1, True]}, "got True"),
        ({"1": [1, 2], "2": [2, 1]}, "two regions have the same values"),
        ({"2": [2], "1": [1, 2]}, "label 2 would be hidden by that of label 1"),
        (
            {"1": [1, 2], "2": [2, 3]},
            "label 2 of a region is also a value of the region of label 1",
        ),
        ([1, 2], "must map each label to a list of values"),
        ({"1": 1}, "must map each label to a list of values"),
    ],
)
def test_regions_of_a_config_are_refused_if_a_label_map_cannot_show_them(content, said):
    with pytest.raises(ValueError, match="regions ") as caught:
        read_regions(content)
    assert said in str(caught.value)


def test_a_config_holds_regions_in_the_order_of_the_channels():
    assert read_regions(None) is None
    assert read_regions(TUMOUR.content()) == TUMOUR
    assert TUMOUR.labels == (1, 3, 2)
    assert TUMOUR.known_values == (1, 2, 3)


def test_a_region_holds_those_within_it():
    labels = np.array([0, 1, 2, 3], np.uint8)
    shown = {int(layer.max()): (layer > 0).tolist() for layer in layers(labels, TUMOUR)}
    assert shown == {
        1: [False, True, True, True],
        3: [False, False, True, True],
        2: [False, False, True, False],
    }
    assert [layer.tolist() for layer in layers(labels, None)] == [[0, 1, 2, 3]]


def test_the_volume_of_a_region_has_that_of_those_within_it():
    labels = np.array([0, 1, 2, 3], np.uint8)[:, None, None]
    assert region_volumes_ml(labels, 0.5, TUMOUR) == {1: 1.5, 3: 1.0, 2: 0.5}
    assert region_volumes_ml(labels, 0.5, None) == {1: 0.5, 2: 0.5, 3: 0.5}
    assert region_volumes_ml(labels[:2], 0.5, TUMOUR) == {1: 0.5}


@pytest.mark.parametrize(
    ("value", "label", "becomes"),
    [
        (2, 2, 3),  # no tumour, but still one of the masses
        (2, 3, 1),  # neither, but still the organ
        (3, 3, 1),
        (2, 1, 0),  # what leaves the organ leaves all that is within it
    ],
)
def test_a_voxel_that_leaves_a_region_stays_in_the_one_around_it(value, label, becomes):
    assert TUMOUR.around(value, label) == becomes


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"a": [1, 2], "b": [1]}, "two have the same first value"),
        ({"a": []}, "one has no value"),
        ({"a": [2], "b": [1, 2]}, "would be hidden"),
        ({"a": [0]}, "invalid value (got 0"),
    ],
)
def test_regions_given_by_name_are_refused_if_a_label_map_cannot_show_them(named, said):
    assert named_regions({"whole": [1, 2], "core": [2]}) == Regions({1: (1, 2), 2: (2,)})
    fails(said, named_regions, named)
