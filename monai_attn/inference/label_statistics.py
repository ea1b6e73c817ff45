"""Statistics of each label: volume, intensities, components, extent, and the faces that it touches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from monai_attn.inference.label_measures import content_box, measure_labels


@dataclass(frozen=True)
class LabelStatistics:
    """The statistics of one label; those of its voxels are None if it has none.

    Attributes:
        volume_ml: its volume.
        mean_hu: mean intensity of its voxels, HU.
        sd_hu: standard deviation of the intensity of its voxels, HU; divided by their number.
        components: number of connected components, with 26 neighbours.
        extent_mm: edge lengths of its bounding box along the patient's axes: left to right, back to front,
            foot to head.
        touches: names of the scan's faces that it touches, such as "last slice" or "left edge".
    """

    volume_ml: float = 0.0
    mean_hu: float | None = None
    sd_hu: float | None = None
    components: int = 0
    extent_mm: tuple[float, float, float] | None = None
    touches: tuple[str, ...] = ()


def label_statistics(
    labels: NDArray[np.integer],
    image: NDArray[np.floating],
    affine: NDArray[np.float64],
    expected: Iterable[int] = (),
) -> dict[int, LabelStatistics]:
    """Compute the statistics of each label.

    Args:
        labels: (X, Y, Z); 0 is background.
        image: (X, Y, Z) HU.
        affine: (4, 4), voxel to RAS+ mm.
        expected: labels to list even if they do not occur.

    Raises:
        ValueError: if labels and image differ in shape.

    Example:
        >>> labels = np.zeros((4, 4, 4), np.uint8)
        >>> labels[1:3, 1:3, 1:3] = 1
        >>> found = label_statistics(labels, labels * 50.0, np.diag([5.0, 5.0, 5.0, 1.0]))
        >>> round(found[1].volume_ml, 3), found[1].mean_hu, found[1].extent_mm
        (1.0, 50.0, (10.0, 10.0, 10.0))
    """
    if labels.shape != image.shape:
        raise ValueError(
            f"labels: shape {labels.shape}; the image's {image.shape} expected: resample to its grid"
        )
    measures = measure_labels(labels, affine, content_box(image))
    boxes = find_objects(labels)
    found = {label: LabelStatistics() for label in expected}
    for label, measured in measures.items():
        box = boxes[label - 1]
        values = image[box][labels[box] == label].astype(np.float64)
        found[label] = LabelStatistics(
            measured.volume_ml,
            float(values.mean()),
            float(values.std()),
            measured.pieces.in_all,
            measured.extent_mm,
            measured.faces,
        )
    return dict(sorted(found.items()))
