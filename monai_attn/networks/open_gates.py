"""A network with some of its gates taken out of action, to see what they are good for."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn


class OpenGate(nn.Module):
    """A gate that is held open: alpha is 1 everywhere, whatever it sees.

    The skip passes unchanged, as in a U-Net without this gate. But the rest of the network was trained
    with the gate at work and is not trained again: what is lost is what this network loses, and not
    what a network that never had the gate would lack.
    """

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """The skip (B, C, *spatial) itself, and ones (B, 1, *spatial)."""
        return skip, torch.ones_like(skip[:, :1])


def open_gates(network: nn.Module, levels: Sequence[int]) -> nn.Module:
    """A copy of an `AttentionUNet` whose gates at some levels are open; the network stays as it is.

    Raises:
        ValueError: if there is no gate at a level.

    Example:
        >>> net = AttentionUNet(2, in_channels=1, out_channels=2).eval()
        >>> logits, maps = open_gates(net, [1]).forward_with_attention(torch.rand(1, 1, 32, 32))
        >>> bool((maps[0] == 1).all()), bool((maps[1] == 1).all())
        (True, False)
    """
    gated = list(getattr(network, "gated_levels", ()))
    if not set(levels) <= set(gated):
        raise ValueError(f"levels (={list(levels)}) must be among those with a gate, {gated}")
    copy = deepcopy(network)
    finest_first = reversed(copy.decoder)  # type: ignore[arg-type]
    for level, decoder in enumerate(finest_first):
        if level in levels:
            decoder.gate = OpenGate()
    return copy
