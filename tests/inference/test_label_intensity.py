"""The median intensity of a label, measured in the image that the network sees."""

import numpy as np
import pytest
import torch

from monai_attn.inference.label_intensity import median_intensities

FLIPPED = np.array([[-1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], float)


def test_intensities_are_in_hounsfield_units_by_label():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0], labels[2] = 1, 3
    image = torch.zeros(4, 4, 4)
    image[0], image[2] = 0.4, 0.2
    found = median_intensities(labels, np.eye(4), image, np.eye(4), (-50, 200))
    assert found == pytest.approx({1: 50, 3: 0}, abs=1e-4)


def test_a_label_is_measured_at_its_place_on_another_grid():
    labels = np.zeros((8, 8, 4), np.uint8)
    labels[5:7, 2:4, 1:3] = 1  # on the flipped grid x is 1 to 2, z is 2 to 4 mm
    image = torch.zeros(8, 8, 8)
    image[1:3, 2:4, 2:5] = 1.0
    assert median_intensities(labels, FLIPPED, image, np.eye(4), (0, 100)) == {1: 100}
    image[1:3, 2:4, 2:5], image[5:7, 2:4, 1:3] = 0.0, 1.0
    assert median_intensities(labels, FLIPPED, image, np.eye(4), (0, 100)) == {1: 0}


def test_a_large_label_is_sampled_evenly():
    labels = np.ones((40, 40, 40), np.uint8)
    image = torch.linspace(0, 1, 40).expand(40, 40, 40)
    (median,) = median_intensities(labels, np.eye(4), image, np.eye(4), (0, 100)).values()
    assert median == pytest.approx(50, abs=2)


def test_without_labels_there_is_nothing_to_measure():
    empty = np.zeros((4, 4, 4), np.uint8)
    assert median_intensities(empty, np.eye(4), torch.ones(4, 4, 4), np.eye(4), (0, 1)) == {}
