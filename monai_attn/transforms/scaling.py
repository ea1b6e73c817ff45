"""Scaling of intensities to the network's input: CT by a window in HU, other channels by their own values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai import transforms as T
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from monai_attn.datasets.channels import NONE, NONZERO, PERCENTILES, Channel, read_channels

ENDS = (0.005, 0.995)  # quantiles that become 0 and 1; nnU-Net clips CT there
MOST = (
    1_000_000  # voxels from which quantiles are taken; they are known to a part in a thousand then
)
SMALLEST = 1e-8  # standard deviation or range; a channel of one value becomes 0


class ScaleInPlaced(T.MapTransform):
    """A `ScaleIntensityRanged` to 0..1, clipped, without copies: MONAI's holds three.

    Args:
        keys: float volumes that nothing else uses.
        low: intensity that becomes 0; lower ones too.
        high: intensity that becomes 1; higher ones too.
    """

    def __init__(self, keys: KeysCollection, low: float, high: float) -> None:
        super().__init__(keys)
        self.low = low
        self.high = high

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Scale the keys' volumes."""
        for key in self.key_iterator(dict(data)):
            data[key].sub_(self.low).div_(self.high - self.low).clamp_(0, 1)
        return dict(data)


class ScaleChannelsd(T.MapTransform):
    """A scaling of each channel by its own rule, in place.

    | scaling | values afterwards |
    |---|---|
    | (lowest, highest) | 0 to 1 between these HU, clipped |
    | zscore | mean 0 and standard deviation 1 of all voxels |
    | zscore_nonzero | the same of the voxels that are not 0; those stay 0 |
    | percentiles | 0 to 1 between the 0.5th and the 99.5th percentile, clipped |
    | none | as in the file |

    Args:
        keys: float volumes (C, X, Y, Z) that nothing else uses.
        channels: the channels, as `read_channels` takes them, each with a scaling.

    Raises:
        ValueError: if a channel has no scaling.
    """

    def __init__(self, keys: KeysCollection, channels: Sequence[Any]) -> None:
        super().__init__(keys)
        self.channels = read_channels(channels)
        for channel in self.channels:
            if channel.scaling is None:
                raise ValueError(
                    f"channel {channel.name} has no scaling. Write it like T2=zscore or CT=-100,300."
                )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Scale the keys' volumes."""
        for key in self.key_iterator(dict(data)):
            image = torch.as_tensor(data[key])
            if isinstance(image, MetaTensor):
                image = image.as_tensor()  # the same memory
            for volume, channel in zip(image, self.channels, strict=True):
                _scale(volume, channel)
        return dict(data)


def _scale(volume: Tensor, channel: Channel) -> None:
    """Scale one channel (X, Y, Z) in place."""
    scaling = channel.scaling
    if scaling == NONE:
        return
    if isinstance(scaling, tuple):
        volume.sub_(scaling[0]).div_(scaling[1] - scaling[0]).clamp_(0, 1)
    elif scaling == PERCENTILES:
        low, high = _ends(volume)
        volume.sub_(low).div_(max(high - low, SMALLEST)).clamp_(0, 1)
    else:
        inside = volume != 0 if scaling == NONZERO else torch.ones_like(volume, dtype=torch.bool)
        values = volume[inside]
        if values.numel():
            mean, deviation = float(values.mean()), float(values.std(correction=0))
            volume[inside] = (values - mean) / max(deviation, SMALLEST)


def _ends(volume: Tensor) -> tuple[float, float]:
    """Return the quantiles of every n-th voxel that become 0 and 1."""
    values = volume.flatten()
    some = values[:: -(-values.numel() // MOST)].cpu().numpy()
    low, high = np.quantile(some, ENDS)
    return float(low), float(high)
