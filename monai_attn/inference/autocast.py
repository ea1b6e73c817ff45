"""A MONAI inferer for mixed precision on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from monai_attn.inference.backends.eager import has_bfloat16


class AutocastInferer(Inferer):
    """A wrapper that runs another inferer under autocast and returns its logits as float32.

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
        """Return the network's logits for inputs (B, C, *spatial); several are returned as a list."""
        dtype = self.dtype or (torch.bfloat16 if has_bfloat16(inputs.device) else torch.float32)
        with torch.autocast(inputs.device.type, dtype, enabled=dtype != torch.float32):
            logits = self.inferer(inputs, network, *args, **kwargs)
        if isinstance(logits, (list, tuple)):
            return [level.float() for level in logits]
        return logits.float()
