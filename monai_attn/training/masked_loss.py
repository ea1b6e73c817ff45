"""Dice and cross-entropy over the voxels that are known.

MONAI's `DiceLoss` and torch's `CrossEntropyLoss` both take an `ignore_index`; MONAI's `DiceCELoss`, their
sum, passes it to neither (1.6), and the cross-entropy of no voxel at all is NaN. Hence this loss.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.losses import DiceCELoss
from torch import Tensor

from monai_attn.datasets.ignore import IGNORED


class MaskedDiceCELoss(DiceCELoss):
    """MONAI's `DiceCELoss`, in which voxels labelled `IGNORED` count nowhere.

    The logits of such a voxel change neither the value nor any other gradient, and their own gradient
    is 0. The Dice of each window is that of its known voxels, and the cross-entropy is the mean
    over all known voxels of the batch; a window without any adds 0 to both.

    Args:
        ignore: the ignore value in the label files; with None the loss is MONAI's, line for line.
        options: as for `DiceCELoss`, with `to_onehot_y`.

    Example:
        >>> loss = MaskedDiceCELoss(ignore=2, to_onehot_y=True, softmax=True)
        >>> logits, label = torch.zeros(1, 2, 4), torch.tensor([[[0, 1, IGNORED, IGNORED]]])
        >>> loss(logits, label) == loss(logits[..., :2], label[..., :2])
        tensor(True)
    """

    def __init__(self, ignore: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.ignore = ignore
        if ignore is not None:
            self.dice.ignore_index = self.cross_entropy.ignore_index = IGNORED

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (B, C, *spatial) against labels (B, 1, *spatial)."""
        if self.ignore is not None:
            # also where a logit is NaN or infinite, which a product with 0 would let through
            input = torch.where(target == IGNORED, 0, input)
        return super().forward(input, target)

    def ce(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of logits and labels, 0 if no voxel is known."""
        loss = super().ce(input, target)
        if self.ignore is None:
            return loss
        return torch.where((target == IGNORED).all(), torch.zeros_like(loss), loss)
