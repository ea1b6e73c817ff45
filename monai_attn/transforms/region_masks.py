"""Masks of regions in label maps, for the loss, the metrics and the sampling of windows in training."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai import transforms as T
from monai.transforms.utils import map_classes_to_indices
from torch import Tensor

from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.regions import Regions, read_regions
from monai_attn.transforms.plain_tensor import plain_tensor


def region_masks(labels: Tensor, regions: Regions, dim: int = 0) -> Tensor:
    """Return where a label map holds each region, as bool with a channel for each along `dim`.

    Args:
        labels: with one channel along `dim`; `IGNORED` is in no region.
        regions: the regions.
        dim: the axis of the channels.
    """
    values = [
        torch.tensor(own, device=labels.device, dtype=labels.dtype)
        for own in regions.values.values()
    ]
    return torch.cat([torch.isin(labels, own) for own in values], dim=dim)


class RegionsToIndicesd(T.Transform):
    """A transform that lists the voxels of each region, and those of none, for `RandCropByLabelClassesd`.

    MONAI's `ClassesToIndicesd` does so for classes. They are stored under `label_cls_indices`.

    Args:
        regions: the regions.
        most: the largest number of voxels of each.
    """

    def __init__(self, regions: Regions, most: int) -> None:
        self.regions = regions
        self.most = most

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the indices of `label` (1, *spatial): of its background, then of each region."""
        label = data["label"]
        masks = region_masks(label, self.regions)
        background = ~masks.any(dim=0, keepdim=True) & (label != IGNORED)
        indices = map_classes_to_indices(
            torch.cat([background, masks]), max_samples_per_class=self.most
        )
        return {**data, "label_cls_indices": indices}


def metric_outputs(regions: Any = None) -> Callable[[Any], Any]:
    """Return the function from an engine's output to predictions and labels that MONAI's metrics take.

    Args:
        regions: as for `read_regions`. Then both are masks (C, *spatial), one channel for each region, in
            which an ignored voxel is in none.
    """
    from monai.handlers import from_engine  # not needed to segment, and imports ignite

    take, found = from_engine(["pred", "label"]), read_regions(regions)
    if found is None:
        return take

    def masks(output: Any) -> tuple[list[Tensor], ...]:
        plain = ([plain_tensor(one) for one in side] for side in take(output))
        return tuple([region_masks(one, found) for one in side] for side in plain)

    return masks
