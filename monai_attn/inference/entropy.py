"""The uncertainty of a network in each voxel: the entropy of its probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from monai_attn.transforms.restore import Slab


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Compute the entropy of softmax(logits / temperature), as a fraction of the largest possible value.

    Args:
        logits: (K, *spatial), at least two classes.
        temperature: see `monai_attn.metrics.calibration`.

    Returns:
        (1, *spatial) float32: 0 where one class is certain, 1 where all are equally likely.

    Example:
        >>> entropy(torch.tensor([[0.0, 200.0], [0.0, -200.0]]))
        tensor([[1., 0.]])
    """
    out = torch.empty(logits.shape[1:], dtype=torch.float32, device=logits.device)
    for i in range(logits.shape[1]):  # layer by layer, to hold no large array besides the logits
        probabilities = (logits[:, i].float() / temperature).softmax(dim=0)
        out[i] = torch.special.entr(probabilities).sum(dim=0)
    return (out / math.log(len(logits))).clamp_(0, 1)[None]


def with_entropy(slabs: Iterable[Slab], temperature: float) -> Iterator[Slab]:
    """Yield the slabs with their entropy as the last of their maps, NaN where no window ran."""
    for slab in slabs:
        own = entropy(slab.logits, temperature)
        if slab.seen is not None:
            own.masked_fill_(~slab.seen, torch.nan)
        yield replace(slab, maps=(*slab.maps, own))
