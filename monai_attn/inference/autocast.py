"""A MONAI inferer for mixed precision on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from monai_attn.inference.backends.eager import has_bfloat16


class AutocastInferer(Inferer):
    """A wrapper that runs another inferer under autocast and returns its outputs as float32.

    MONAI's engines support autocast only on CUDA; on a CPU with bfloat16 units it is also two to three
    times faster. bfloat16 has the range of float32, so no gradient scaler is needed.

    Args:
        inferer: the inferer to run, such as `SimpleInferer` or `SlidingWindowInferer`.
        dtype: name of the torch dtype to compute in; "auto" is bfloat16 if the device has units for it,
            else float32.

    Raises:
        ValueError: if torch has no floating dtype of that name.
    """

    def __init__(self, inferer: Inferer, dtype: str = "auto") -> None:
        super().__init__()
        self.inferer = inferer
        found = None if dtype == "auto" else getattr(torch, dtype, "unknown")
        if found and not (isinstance(found, torch.dtype) and found.is_floating_point):
            raise ValueError(f"dtype (={dtype!r}) must be auto or name a floating dtype of torch")
        self.dtype = found

    def __call__(
        self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Return the network's outputs for inputs (B, C, *spatial), in the structure they come in."""
        dtype = self.dtype or (torch.bfloat16 if has_bfloat16(inputs.device) else torch.float32)
        with torch.autocast(inputs.device.type, dtype, enabled=dtype != torch.float32):
            return _float32(self.inferer(inputs, network, *args, **kwargs))


def _float32(outputs: Any) -> Any:
    """Return outputs as float32: a tensor, or a list, tuple or named tuple of outputs."""
    if not isinstance(outputs, (list, tuple)):
        return outputs.float()
    parts = map(_float32, outputs)
    return type(outputs)(*parts) if hasattr(outputs, "_fields") else type(outputs)(parts)
