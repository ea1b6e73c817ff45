"""Mixed precision on any device, as a MONAI inferer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


class AutocastInferer(Inferer):
    """Runs another inferer under autocast and hands its logits back as float32.

    MONAI's engines know autocast on CUDA only; on a CPU with bfloat16 units it is two to three times
    faster too. bfloat16 has the range of float32, so no gradient scaler is needed.

    Args:
        inferer: the inferer to run, such as `SimpleInferer` or `SlidingWindowInferer`.
        dtype: name of the torch dtype to compute in.

    Raises:
        ValueError: if torch has no floating dtype of that name.
    """

    def __init__(self, inferer: Inferer, dtype: str = "bfloat16") -> None:
        super().__init__()
        self.inferer = inferer
        found = getattr(torch, dtype, None)
        if not isinstance(found, torch.dtype) or not found.is_floating_point:
            raise ValueError(f"dtype (={dtype!r}) must name a floating dtype of torch")
        self.dtype = found

    def __call__(
        self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """The network's logits for inputs (B, C, *spatial); a list stays a list."""
        with torch.autocast(inputs.device.type, dtype=self.dtype):
            logits = self.inferer(inputs, network, *args, **kwargs)
        if isinstance(logits, (list, tuple)):
            return [level.float() for level in logits]
        return logits.float()
