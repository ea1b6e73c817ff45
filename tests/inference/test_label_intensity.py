"""The intensities of a label and of the tissue around it, measured in the image that the network sees."""

import numpy as np
import pytest
import torch

from monai_attn.inference.label_intensity import ct_in, label_intensities, tissue_quartile
from monai_attn.transforms import preprocessing
from monai_attn.transforms.grids import NeighbourSlicesd


def medians(*args):
    return {label: one.median for label, one in label_intensities(*args).items()}


FLIPPED = np.array([[-1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], float)


def test_intensities_are_in_hounsfield_units_by_label():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0], labels[2] = 1, 3
    image = torch.zeros(4, 4, 4)
    image[0], image[2] = 0.4, 0.2
    found = medians(labels, np.eye(4), image, np.eye(4), (-50, 200))
    assert found == pytest.approx({1: 50, 3: 0}, abs=1e-4)


def test_a_label_is_measured_at_its_place_on_another_grid():
    labels = np.zeros((8, 8, 4), np.uint8)
    labels[5:7, 2:4, 1:3] = 1  # on the flipped grid x is 1 to 2, z is 2 to 4 mm
    image = torch.zeros(8, 8, 8)
    image[1:3, 2:4, 2:5] = 1.0
    assert medians(labels, FLIPPED, image, np.eye(4), (0, 100)) == {1: 100}
    image[1:3, 2:4, 2:5], image[5:7, 2:4, 1:3] = 0.0, 1.0
    assert medians(labels, FLIPPED, image, np.eye(4), (0, 100)) == {1: 0}


def test_a_large_label_is_sampled_evenly():
    labels = np.ones((40, 40, 40), np.uint8)
    image = torch.linspace(0, 1, 40).expand(40, 40, 40)
    (median,) = medians(labels, np.eye(4), image, np.eye(4), (0, 100)).values()
    assert median == pytest.approx(50, abs=2)


def test_without_labels_there_is_nothing_to_measure():
    empty = np.zeros((4, 4, 4), np.uint8)
    assert label_intensities(empty, np.eye(4), torch.ones(4, 4, 4), np.eye(4), (0, 1)) == {}


def test_the_tissue_is_that_of_the_slices_with_the_label():
    labels = np.zeros((20, 20, 6), np.uint8)
    labels[5:8, 5:8, 2:4] = 1
    image = torch.full((20, 20, 6), 0.2)  # 50 HU
    image[..., 2:4][10:] = 0.6  # 150 HU in half of each of its slices
    image[:3] = 0.0  # fat and air
    image[3:5] = 1.0  # bone, clipped
    (found,) = label_intensities(labels, np.eye(4), image, np.eye(4), (0, 250)).values()
    assert (found.median, found.tissue) == (pytest.approx(50), pytest.approx(150))
    assert tissue_quartile(image[..., :2], (0, 250)) == pytest.approx(50)


def test_the_slices_are_those_of_the_image():
    labels = np.zeros((8, 8, 4), np.uint8)
    labels[5:7, 2:4, 1:3] = 1  # 2 to 4 mm: slices 2 to 4 of the image
    image = torch.full((8, 8, 8), 0.2)
    image[..., 2:5] = 0.6
    (found,) = label_intensities(labels, FLIPPED, image, np.eye(4), (0, 250)).values()
    assert found.tissue == pytest.approx(150)


@pytest.mark.parametrize("hu", [-100.0, 10.0, 260.0, 400.0])
def test_fat_water_and_bone_are_no_tissue(hu):
    low, high = -150.0, 450.0
    image = torch.full((4, 4, 4), (hu - low) / (high - low))
    assert tissue_quartile(image, (low, high)) is None
    image[0] = (100 - low) / (high - low)
    assert tissue_quartile(image, (low, high)) == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("intensity_range", [(0, 250), (40, 240), (30, 500)])
def test_clipped_values_are_no_tissue(intensity_range):
    low, high = intensity_range
    image = torch.zeros(4, 4, 4)  # air
    image[3] = 1.0
    assert tissue_quartile(image, intensity_range) is None
    image[0] = (100 - low) / (high - low)
    assert tissue_quartile(image, intensity_range) == pytest.approx(100, abs=0.01)


def test_a_large_image_is_sampled_evenly():
    image = torch.linspace(0.2, 0.6, 200)[:, None, None].expand(200, 200, 200)
    assert tissue_quartile(image, (0, 250)) == pytest.approx(125, abs=1)


def test_only_the_labels_asked_for_are_measured():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0], labels[2] = 1, 3
    found = label_intensities(labels, np.eye(4), torch.ones(4, 4, 4), np.eye(4), (0, 1), only=[3])
    assert found.keys() == {3}


MR, CT = {"name": "T1", "scaling": "zscore"}, {"name": "CT", "scaling": [-100, 300]}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"intensity_range": (0, 250)}, ([0, 10, 20, 30, 40], (0, 250))),
        ({"intensity_range": (0, 250), "slice_channels": 3}, ([0, 10, 20, 30, 40], (0, 250))),
        ({"intensity_range": None, "channels": [CT]}, ([0, 10, 20, 30, 40], (-100, 300))),
        ({"intensity_range": None, "channels": [MR, CT]}, ([1, 11, 21, 31, 41], (-100, 300))),
        (
            {"intensity_range": None, "channels": [MR, CT], "slice_channels": 3},
            ([1, 11, 21, 31, 41], (-100, 300)),
        ),
        ({"intensity_range": None, "channels": [MR]}, None),
    ],
)
def test_the_ct_is_found_among_channels_and_slices(options, found):
    steps = preprocessing((1, 1, 1), **options).transforms
    channels = torch.arange(len(options.get("channels", [CT]))).reshape(-1, 1, 1, 1)
    image = 10 * torch.arange(5).expand(2, 2, 5) + channels  # 10 * slice + channel
    for step in steps:
        if isinstance(step, NeighbourSlicesd):
            image = step({"image": image})["image"]
    ct = ct_in(image, steps)
    assert found == (ct and (ct[0][0, 0].tolist(), ct[1]))
