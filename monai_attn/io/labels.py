"""Labels: the whole numbers of a label map, which are read as float32 like any volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.volume import Volume

INTEGER_TOLERANCE = 1e-3  # labels stored with a scale factor are read as 0.99999
# volumes are read as float32, which is exact for whole numbers up to here
LARGEST_LABEL = 2**24 - 1


def labels_of(volume: Volume) -> np.ndarray:
    """Return the volume's values (X, Y, Z) as int32, if they are labels.

    Raises:
        ValueError: if a value is not a whole number from 0 to `LARGEST_LABEL`.
    """
    values = volume.data
    labels = np.rint(values)
    # NaN fails every comparison, so the rule tests for valid values
    valid = (labels >= 0) & (labels <= LARGEST_LABEL)
    with np.errstate(invalid="ignore"):  # infinity minus itself
        valid &= np.abs(values - labels) <= INTEGER_TOLERANCE
    if not valid.all():
        index = tuple(int(i) for i in np.argwhere(~valid)[0])
        raise ValueError(
            f"{volume.path}: value {values[index]} at voxel {index} is not a label "
            f"(expected whole numbers from 0 to {LARGEST_LABEL}); "
            "save a label map, not an image or probabilities"
        )
    return labels.astype(np.int32)


def volumes_ml(labels: NDArray[np.integer], voxel_ml: float) -> dict[int, float]:
    """Return the volume in millilitres of each label that occurs, without the background.

    Args:
        labels: (X, Y, Z) whole numbers from 0.
        voxel_ml: the volume of one voxel.
    """
    # layer by layer: numpy counts in 8 bytes a voxel
    numbers = int(labels.max(initial=0)) + 1
    counts = np.zeros(numbers, dtype=np.int64)
    for layer in np.moveaxis(labels, -1, 0):
        counts += np.bincount(layer.ravel(order="K"), minlength=numbers)
    return {label: int(n) * voxel_ml for label, n in enumerate(counts) if label > 0 and n > 0}
