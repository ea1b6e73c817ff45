"""Dice and binary cross-entropy for regions, each a sigmoid of its own."""

from __future__ import annotations

from typing import Any

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.regions import read_regions
from monai_attn.transforms.region_masks import region_masks


class RegionDiceBCELoss(nn.Module):
    """The mean Dice loss of the regions, plus their mean binary cross-entropy, as in nnU-Net.

    Voxels labelled `IGNORED` count nowhere: their logits change neither the value nor any other gradient,
    and their own gradient is 0. The Dice of each window is that of its known voxels, and the cross-entropy
    is the mean over all known voxels of the batch and all regions. A window without any adds 0 to both.
    MONAI's `DiceCELoss` with several channels takes the cross-entropy of one class per voxel.

    Args:
        regions: as for `read_regions`.
        ignore: the ignore value in the label files; with None every voxel counts.
        lambda_dice: weight of the Dice loss.
        lambda_ce: weight of the cross-entropy.
        options: as for `monai.losses.DiceLoss`, such as `batch`.

    Raises:
        ValueError: if there are no regions.

    Example:
        >>> loss = RegionDiceBCELoss({"1": [1, 2], "2": [2]})
        >>> label = torch.tensor([[[0, 1, 2]]])
        >>> bool(loss(torch.tensor([[[-50.0, 50.0, 50.0], [-50.0, -50.0, 50.0]]]), label) < 1e-4)
        True
    """

    def __init__(
        self,
        regions: Any,
        ignore: int | None = None,
        *,
        lambda_dice: float = 1.0,
        lambda_ce: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__()
        found = read_regions(regions)
        if found is None:
            raise ValueError("regions (=None) must name the regions of the loss")
        self.regions = found
        self.ignore = ignore
        self.lambda_dice = lambda_dice
        self.lambda_ce = lambda_ce
        self.dice = DiceLoss(**options)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (B, C, *spatial) against labels (B, 1, *spatial)."""
        input = input.float()
        truth = region_masks(target, self.regions, dim=1).to(input.dtype)
        if self.ignore is None:
            entropy = F.binary_cross_entropy_with_logits(input, truth)
            return self.lambda_dice * self.dice(input.sigmoid(), truth) + self.lambda_ce * entropy
        known = (target != IGNORED).to(input.dtype)  # (B, 1, *spatial)
        # also where a logit is NaN or infinite, which a product with 0 would let through
        input = torch.where(target == IGNORED, 0, input)
        single = F.binary_cross_entropy_with_logits(input, truth, reduction="none")
        entropy = (single * known).sum() / (known.sum() * input.shape[1]).clamp(min=1)
        return (
            self.lambda_dice * self.dice(input.sigmoid() * known, truth) + self.lambda_ce * entropy
        )
