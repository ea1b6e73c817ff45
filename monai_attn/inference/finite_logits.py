"""The check that logits are finite."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from monai_attn.io.errors import OptionError
from monai_attn.transforms.restore import Slab


def finite_slabs(slabs: Iterator[Slab]) -> Iterator[Slab]:
    """Yield slabs whose logits are finite.

    Raises:
        OptionError: if they are not.
    """
    for slab in slabs:
        check_finite(slab.logits)
        yield slab


def check_finite(logits: Tensor) -> None:
    """Refuse logits that are not finite: their labels would look like a scan with nothing found.

    Raises:
        OptionError: if they are not.
    """
    if not bool(torch.isfinite(logits).all()):
        raise OptionError(
            "the network's logits are not finite (NaN or infinite). Try ",
            "precision",
            "float32",
            ", or train again.",
        )
