"""A mask of the patient's body in a CT."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

FACTOR = 4  # the mask is this much coarser: a window is many times larger
THICK = 16 * FACTOR  # voxels along the first axis that are processed together
SHARE = 0.01  # parts smaller than this share of the largest are tubes and clothes


class BodyMask:
    """The parts of an image that are brighter than its darkest value, without small separate parts.

    Args:
        above: intensity above which a voxel is body; 0 is the lower end of the range after scaling.
    """

    def __init__(self, above: float = 0.0) -> None:
        self.above = above

    def __call__(self, image: Tensor) -> Tensor:
        """Return the bool mask (*spatial / 4, rounded up) of an image (1, C, *spatial).

        A voxel of the mask is body if any voxel of the image in it is.
        """
        coarse = torch.cat(
            [self._coarse(part) for part in image[0].split(THICK, dim=1)]
        )  # part by part: a mask of the whole image would be large
        coarse = coarse.cpu()  # once, and not for each window compared with it
        parts, count = ndimage.label(coarse.numpy())
        if count > 1:
            voxels = np.bincount(parts.ravel())
            voxels[0] = 0
            kept = voxels >= SHARE * voxels.max()
            return torch.from_numpy(kept[parts])
        return coarse

    def _coarse(self, part: Tensor) -> Tensor:
        """Return for each block of voxels whether one is bright; part is (C, *spatial)."""
        bright = (part > self.above).any(dim=0)
        bright = F.pad(bright, [n for size in reversed(bright.shape) for n in (0, -size % FACTOR)])
        for axis in range(bright.ndim):
            bright = bright.unflatten(axis, (-1, FACTOR)).any(dim=axis + 1)
        return bright
