"""Explanation of weights that do not fit a bundle's network because other levels have gates."""

from __future__ import annotations

from typing import Any

import torch

from monai_attn.networks.unet import gated_levels_of


def gate_mismatch(network: torch.nn.Module, state: Any) -> str:
    """Describe a difference in the gated levels of a network and of weights.

    Args:
        network: an `AttentionUNet`, or any other network.
        state: content of a file of weights.

    Returns:
        The difference and the remedy; empty if the levels agree, or cannot be compared.
    """
    if not isinstance(state, dict):
        return ""
    depth, wanted = gated_levels_of(network.state_dict())
    given_depth, given = gated_levels_of(map(str, state))
    if wanted == given or depth != given_depth:  # a network of another depth is not comparable
        return ""
    said = [
        f"{has} a gate at {'level' if len(levels) == 1 else 'levels'} {', '.join(map(str, levels))}"
        for has, levels in (
            ("lacks the weights of", sorted(wanted - given)),
            ("holds the weights of", sorted(given - wanted)),
        )
        if levels
    ]
    return (
        f"{' and '.join(said)}, and the network is built {'with' if wanted - given else 'without'} "
        "it. Set network_def#gate and network_def#gated_levels to the gates that the weights were trained "
        "with, or train with another gate."
    )
