"""Tensors without MONAI's metadata, whose every operation would copy them along."""

from __future__ import annotations

from monai.data.meta_tensor import MetaTensor
from torch import Tensor


def plain_tensor(values: Tensor) -> Tensor:
    """Return a tensor without metadata, which shares its memory."""
    return values.as_tensor() if isinstance(values, MetaTensor) else values
