"""Where a CT shows a patient."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

FACTOR = 4  # the mask is this much coarser: a window is many times larger
THICK = 16 * FACTOR  # voxels along the first axis that are looked at together
SHARE = 0.01  # parts smaller than this share of the largest are tubes and clothes


class BodyMask:
    """The parts of an image that are brighter than its darkest value, without what lies about.

    Args:
        above: what is brighter is body. 0 is the lower end of the intensity range, after scaling.
    """

    def __init__(self, above: float = 0.0) -> None:
        self.above = above

    def __call__(self, image: Tensor) -> Tensor:
        """The mask (*spatial / 4, rounded up) bool of an image (1, C, *spatial).

        A voxel of the mask is body if any of the image's voxels in it is.
        """
        coarse = torch.cat(
            [self._coarse(part) for part in image[0].split(THICK, dim=1)]
        )  # a stretch at a time: a mask of the whole image would be large
        coarse = coarse.cpu()  # once, and not for each window that is compared with it
        parts, count = ndimage.label(coarse.numpy())
        if count > 1:
            voxels = np.bincount(parts.ravel())
            voxels[0] = 0
            kept = voxels >= SHARE * voxels.max()
            return torch.from_numpy(kept[parts])
        return coarse

    def _coarse(self, part: Tensor) -> Tensor:
        """Whether a block of voxels holds one that is brighter; part is (C, *spatial)."""
        bright = (part > self.above).any(dim=0)
        bright = F.pad(bright, [n for size in reversed(bright.shape) for n in (0, -size % FACTOR)])
        for axis in range(bright.ndim):
            bright = bright.unflatten(axis, (-1, FACTOR)).any(dim=axis + 1)
        return bright
