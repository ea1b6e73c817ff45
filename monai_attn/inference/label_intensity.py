"""The intensity of labels in a scan, which shows a contrast phase that the network has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor

MOST = 20_000  # voxels of a label that are used; more change its median by less than 1 HU


def median_intensities(
    labels: NDArray[np.integer],
    affine: NDArray[np.float64],
    image: Tensor,
    image_affine: NDArray[np.float64],
    intensity_range: Sequence[float],
) -> dict[int, float]:
    """Return the median intensity of each label that occurs, in HU, as the network sees the scan.

    Args:
        labels: (X, Y, Z) on the scan's grid.
        affine: (4, 4), voxel of the scan to RAS+ mm.
        image: (*spatial) the network's input, scaled to 0..1.
        image_affine: (4, 4), voxel of the image to RAS+ mm.
        intensity_range: the HU that became 0 and 1; values outside were clipped to these.
    """
    low, high = intensity_range
    to_image = np.linalg.inv(image_affine) @ affine
    medians = {}
    for label, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        voxels = np.argwhere(labels[box] == label) + [part.start for part in box]
        if len(voxels) > MOST:  # at random: every n-th voxel may lie on a few columns
            voxels = voxels[np.random.default_rng(0).integers(len(voxels), size=MOST)]
        places = np.rint(voxels @ to_image[:3, :3].T + to_image[:3, 3]).astype(int)
        places = places.clip(0, np.array(image.shape) - 1)
        values = image[tuple(places.T.tolist())]
        medians[label] = low + (high - low) * float(values.float().median())
    return medians
