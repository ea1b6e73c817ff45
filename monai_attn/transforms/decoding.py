"""Decoding of logits: the probabilities and the labels that they stand for.

The only place that knows whether a network has a softmax over classes, the background among them, or a
sigmoid for each region. Both are resampled as probabilities: a weighted mean of voxels that are all
background is background too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from monai_attn.datasets.regions import Regions

BACKGROUND = 20.0  # the logit of background where no window ran: a probability of 1 - 4e-18


@dataclass(frozen=True)
class Decoding:
    """The way from logits to probabilities and labels.

    Attributes:
        regions: the regions, one per channel; None for classes, of which the first is the background.

    Example:
        >>> logits = torch.tensor([[3.0, 3.0, -1.0], [-2.0, 1.0, -1.0]])
        >>> Decoding(Regions({1: (1, 2), 2: (2,)})).labels(logits)
        tensor([1, 2, 0], dtype=torch.uint8)
        >>> Decoding().labels(logits)
        tensor([0, 0, 0])
    """

    regions: Regions | None = None

    @property
    def activation(self) -> str:
        """The activation of the logits: `softmax` over classes, or `sigmoid` for each region."""
        return "softmax" if self.regions is None else "sigmoid"

    def probabilities(self, logits: Tensor, dim: int = 0) -> Tensor:
        """Return the probabilities of logits in float32; the channels are along `dim`."""
        values = logits.float()
        return values.softmax(dim=dim) if self.regions is None else values.sigmoid()

    def logits(self, probabilities: Tensor) -> Tensor:
        """Return logits that stand for probabilities, such as a mean over networks; all are finite."""
        tiny = torch.finfo(torch.float32).tiny
        if self.regions is None:
            return probabilities.clamp(min=tiny).log()
        return torch.logit(probabilities, eps=torch.finfo(torch.float32).eps)

    def background(self, channels: int) -> list[float]:
        """Return the logit of each channel where there is only background.

        A single channel is low there, as that of a region.
        """
        first = BACKGROUND if self.regions is None and channels > 1 else -BACKGROUND
        return [first, *[-BACKGROUND] * (channels - 1)]

    def foreground(self, logits: Tensor) -> Tensor:
        """Return where (*spatial) the labels of logits (C, *spatial) are not background."""
        if self.regions is not None:
            return logits.amax(dim=0) > 0
        if len(logits) == 1:
            return torch.zeros(logits.shape[1:], dtype=torch.bool, device=logits.device)
        return logits[1:].amax(dim=0) > logits[0]

    def foreground_probability(self, logits: Tensor) -> Tensor:
        """Return the probability (*spatial) that a voxel is in any class or region at all."""
        found = self.probabilities(logits)
        return 1 - found[0] if self.regions is None else found.amax(dim=0)

    def values(self, logits: Tensor) -> Tensor:
        """Return the values to resample (K, *spatial), which `labels_of` turns into labels.

        They are the probabilities; of two classes only their difference.
        """
        found = self.probabilities(logits)
        return found[1:] - found[:1] if self.regions is None and len(logits) == 2 else found

    def empty(self, channels: int) -> list[float]:
        """Return `values` where there is only background."""
        if self.regions is not None:
            return [0.0] * channels
        return [-1.0] if channels == 2 else [1.0, *[0.0] * (channels - 1)]

    def probabilities_of(self, values: Tensor, power: float = 1.0) -> Tensor:
        """Return the probabilities (C, *spatial) of resampled `values`.

        Args:
            values: as from `values`.
            power: exponent of the probabilities, after which they are scaled to the sum 1 again; of a region,
                with the probability that a voxel is not in it. At 1 / T they are those of logits / T.
        """
        found = values
        if self.regions is None and len(values) == 1:
            found = torch.cat([1 - values, 1 + values]) / 2
        if power == 1:
            return found
        yes = found.clamp(0, 1) ** power
        if self.regions is None:
            return yes / yes.sum(dim=0, keepdim=True)
        return yes / (yes + (1 - found).clamp(0, 1) ** power)

    def labels_of(self, values: Tensor) -> Tensor:
        """Return the labels (*spatial) of resampled `values`, in a byte each where that is enough.

        From a GPU they are copied to the host: an eighth of the bytes of `argmax`.
        """
        if self.regions is None:
            if len(values) == 1:
                return values[0] > 0
            found = values.argmax(dim=0)
            return found.to(torch.uint8) if len(values) <= 256 else found
        labels = torch.zeros(values.shape[1:], dtype=torch.uint8, device=values.device)
        for label, chance in zip(self.regions.labels, values, strict=True):
            labels[chance > 0.5] = label
        return labels

    def labels(self, logits: Tensor) -> Tensor:
        """Return the labels (*spatial) of logits (C, *spatial) on the same grid."""
        if self.regions is None:
            return logits.argmax(dim=0)
        return self.labels_of(logits.float().sigmoid())
