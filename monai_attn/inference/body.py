"""Where a CT shows a patient."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

FACTOR = 4  # the mask is this much coarser: a window is many times larger
SHARE = 0.01  # parts smaller than this share of the largest are tubes and clothes


class BodyMask:
    """The parts of an image that are brighter than air, without what lies about.

    Args:
        above: intensity of air; what is brighter is body. 0 after scaling from -150 HU.
    """

    def __init__(self, above: float = 0.0) -> None:
        self.above = above

    def __call__(self, image: Tensor) -> Tensor:
        """The mask (*spatial / 4, rounded up) bool of an image (1, C, *spatial).

        A voxel of the mask is body if any of the image's voxels in it is.
        """
        bright = (image > self.above).any(dim=1, keepdim=True).to(torch.uint8)
        pool = F.max_pool3d if image.ndim == 5 else F.max_pool2d
        shape = image.shape[2:]
        pads = [n for size in reversed(shape) for n in (0, -size % FACTOR)]
        coarse = pool(F.pad(bright, pads).float(), FACTOR)[0, 0] > 0
        parts, count = ndimage.label(coarse.cpu().numpy())
        if count > 1:
            voxels = np.bincount(parts.ravel())
            voxels[0] = 0
            kept = voxels >= SHARE * voxels.max()
            return torch.from_numpy(kept[parts]).to(image.device)
        return coarse
