"""Intensities of labels and of the tissue around them, which show scans that the network has not seen."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor

from monai_attn.datasets.regions import Regions, layers
from monai_attn.inference.result_checks import Expected, Intensity, Range
from monai_attn.io.grid import Grid
from monai_attn.transforms.scaling import ScaleChannelsd, ScaleInPlaced

MOST = 20_000  # voxels of a label that are used; more change its median by less than 1 HU
MOST_AROUND = 1_000_000  # voxels of the slices with a label
TISSUE = (20.0, 250.0)  # HU of soft tissue: above fat and water, below compact bone
QUARTILE = 75  # per cent of the tissue: organs and vessels that take up contrast lie above it


def label_intensities(
    labels: NDArray[np.integer],
    affine: NDArray[np.float64],
    image: Tensor,
    image_affine: NDArray[np.float64],
    intensity_range: Sequence[float],
    regions: Regions | None = None,
    only: Collection[int] | None = None,
) -> dict[int, Intensity]:
    """Return the intensity of each label that occurs and of its surroundings, as the network sees the scan.

    Args:
        labels: (X, Y, Z) on the scan's grid.
        affine: (4, 4), voxel of the scan to RAS+ mm.
        image: (X, Y, Z) the network's input, scaled to 0..1, from foot to head along Z.
        image_affine: (4, 4), voxel of the image to RAS+ mm.
        intensity_range: the HU that became 0 and 1; values outside were clipped to these.
        regions: the regions, each with all that is within it; None for classes.
        only: the labels to measure; all by default.
    """
    low, high = intensity_range
    to_image = np.linalg.inv(image_affine) @ affine
    found = {}
    for layer in layers(labels, regions):
        for label, box in enumerate(find_objects(layer), 1):
            if box is None or (only is not None and label not in only):
                continue
            voxels = np.argwhere(layer[box] == label) + [part.start for part in box]
            if len(voxels) > MOST:  # at random: every n-th voxel may lie on a few columns
                voxels = voxels[np.random.default_rng(0).integers(len(voxels), size=MOST)]
            places = np.rint(voxels @ to_image[:3, :3].T + to_image[:3, 3]).astype(int)
            places = places.clip(0, np.array(image.shape) - 1)
            values = image[tuple(places.T.tolist())]
            slices = image[..., places[:, 2].min() : places[:, 2].max() + 1]
            tissue = tissue_quartile(slices, intensity_range)
            found[label] = Intensity(low + (high - low) * float(values.float().median()), tissue)
    return found


def tissue_quartile(image: Tensor, intensity_range: Sequence[float]) -> float | None:
    """Return the upper quartile of the soft tissue in slices, in HU; None without any.

    Args:
        image: (X, Y, Z) axial slices, scaled to 0..1. Of a large one rows and columns are left out evenly.
        intensity_range: the HU that became 0 and 1; values outside were clipped to these, and do not count.
    """
    low, high = intensity_range
    first, last = ((hu - low) / (high - low) for hu in TISSUE)
    step = math.ceil(math.sqrt(image.numel() / MOST_AROUND)) or 1
    some = image[::step, ::step]
    tissue = some[(some >= first) & (some > 0) & (some < min(last, 1.0))]
    if not len(tissue):
        return None
    return low + (high - low) * float(np.percentile(tissue.float().cpu().numpy(), QUARTILE))


def ct_in(image: Tensor, steps: Iterable[Any]) -> tuple[Tensor, Range] | None:
    """Find the CT in the input of a network.

    Args:
        image: (C, X, Y, Z).
        steps: the transforms that made it.

    Returns:
        The CT (X, Y, Z), and the HU that became 0 and 1: the first of several CT channels, and the middle one
        of several slices. None if there is no CT.
    """
    for step in steps:
        scalings: list[Any] = []
        if isinstance(step, ScaleInPlaced):
            scalings = [(step.low, step.high)]
        elif isinstance(step, ScaleChannelsd):
            scalings = [channel.scaling for channel in step.channels]
        for number, scaling in enumerate(scalings):
            if isinstance(scaling, tuple):
                middle = len(image) // len(scalings) // 2
                return image[middle * len(scalings) + number], scaling
    return None


def expected_intensities(
    labels: NDArray[np.integer],
    scan: Grid,
    image: MetaTensor,
    preprocessing: Compose,
    expected: Mapping[int, Expected],
    regions: Regions | None = None,
) -> dict[int, Intensity]:
    """Return the intensity in a CT of each label for which one is expected.

    Args:
        labels: (X, Y, Z) on the scan's grid.
        scan: that grid.
        image: (C, X, Y, Z) the network's input.
        preprocessing: the transforms that made it.
        expected: expected measures of each label.
        regions: as for `label_intensities`.
    """
    only = [label for label, one in expected.items() if one.intensity_hu or one.tissue_hu]
    found = ct_in(image.as_tensor(), preprocessing.transforms)
    if found is None or not only:
        return {}
    ct, intensity_range = found
    affine = np.asarray(image.affine, dtype=np.float64)
    return label_intensities(labels, scan.affine, ct, affine, intensity_range, regions, only)
