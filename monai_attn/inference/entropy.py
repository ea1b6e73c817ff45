"""The uncertainty of a network in each voxel: the entropy of its probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.restore import Slab


def entropy(
    logits: Tensor,
    temperature: float = 1.0,
    decoding: Decoding = Decoding(),  # noqa: B008  a constant
) -> Tensor:
    """Compute the entropy of softmax(logits / temperature), as a fraction of the largest possible value.

    Of regions, each a sigmoid of its own, it is that of the most doubtful one: where a tumour is doubtful
    within a certain organ, the voxel is doubtful.

    Args:
        logits: (K, *spatial), at least two classes, or regions.
        temperature: see `monai_attn.metrics.calibration`.
        decoding: the way from logits to probabilities; that of classes by default.

    Returns:
        (1, *spatial) float32: 0 where one class is certain, 1 where all are equally likely; of regions 0
        where all are certain, 1 where one is as likely as not.

    Example:
        >>> entropy(torch.tensor([[0.0, 200.0], [0.0, -200.0]]))
        tensor([[1., 0.]])
    """
    out = torch.empty(logits.shape[1:], dtype=torch.float32, device=logits.device)
    for i in range(logits.shape[1]):  # layer by layer, to hold no large array besides the logits
        chances = decoding.probabilities(logits[:, i].float() / temperature)
        if decoding.regions is None:
            out[i] = torch.special.entr(chances).sum(dim=0)
        else:
            both = torch.special.entr(chances) + torch.special.entr(1 - chances)
            out[i] = both.amax(dim=0)
    most = math.log(len(logits)) if decoding.regions is None else math.log(2)
    return (out / most).clamp_(0, 1)[None]


def with_entropy(
    slabs: Iterable[Slab],
    temperature: float,
    decoding: Decoding = Decoding(),  # noqa: B008  a constant
) -> Iterator[Slab]:
    """Yield the slabs with their entropy as the last of their maps, NaN where no window ran."""
    for slab in slabs:
        own = entropy(slab.logits, temperature, decoding)
        if slab.seen is not None:
            own.masked_fill_(~slab.seen, torch.nan)
        yield replace(slab, maps=(*slab.maps, own))
