"""A segmenter that labels what is bright, for tests."""

import torch
from monai.inferers import SlidingWindowInferer

from monai_attn.inference.segmenter import Segmenter
from monai_attn.transforms.pipelines import postprocessing, preprocessing

SPACING, HU = (3.0, 3.0, 3.0), (0.0, 100.0)
CLEAN = postprocessing("unused", keep_largest=[1], fill_holes=[1], num_classes=2)


def bright(x):
    """A network that calls bright voxels foreground; its logits follow the image."""
    return torch.cat([0.5 - x, x - 0.5], dim=1) * 20


def segmenter(network=bright, inferer=None, after=None):
    """A segmenter of small windows, on a grid that no scan has."""
    before = preprocessing(SPACING, HU)
    after = after or postprocessing("unused")
    inferer = inferer or SlidingWindowInferer((8, 8, 8), overlap=0.5, mode="gaussian")
    return Segmenter(before, inferer, network, after, torch.device("cpu"))
