"""Networks with some gates held open, to measure the effect of these gates."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from monai_attn.networks.ensemble import Ensemble


class OpenGate(nn.Module):
    """A gate that is held open: alpha is 1 everywhere for any input.

    The skip passes unchanged, as in a U-Net without this gate. But the rest of the network was trained
    with the gate at work and is not trained again: the loss in accuracy is that of this network, not
    that of a network which was trained without the gate.
    """

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """Return the skip (B, C, *spatial) itself, and ones (B, 1, *spatial)."""
        return skip, torch.ones_like(skip[:, :1])


def open_gates(network: nn.Module, levels: Sequence[int]) -> nn.Module:
    """Copy an `AttentionUNet` and open the copy's gates at some levels; the original does not change.

    In an ensemble, the gates of every member are opened.

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
    if isinstance(network, Ensemble):
        return network.mapped(lambda member: open_gates(member, levels))
    copy = deepcopy(network)
    finest_first = reversed(copy.decoder)  # type: ignore[arg-type]
    for level, decoder in enumerate(finest_first):
        if level in levels:
            decoder.gate = OpenGate()
    return copy
