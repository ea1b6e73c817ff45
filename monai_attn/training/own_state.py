"""Weights that a network gives out as copies, and not as its own memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def own_state(network: nn.Module) -> nn.Module:
    """Let a network's `state_dict` return contiguous copies of its weights.

    torch returns the network's own memory. A client that keeps it, as federated learning does with the
    weights of a round, would see them change as the training goes on. torch also refuses to load weights
    into their own memory in another layout, such as channels last: "some elements of the input tensor and
    the written-to tensor refer to a single memory location".

    Args:
        network: changed in place.

    Returns:
        The network.

    Example:
        >>> network = own_state(torch.nn.Conv2d(1, 1, kernel_size=1))
        >>> network.state_dict()["weight"].data_ptr() == network.weight.data_ptr()
        False
    """
    network.register_state_dict_post_hook(_copy)
    return network


def _copy(module: nn.Module, state: dict[str, Any], prefix: str, _: Mapping[str, Any]) -> None:
    """Replace the tensors of a state by copies."""
    for name, value in state.items():
        if name.startswith(prefix) and isinstance(value, Tensor):
            state[name] = value.detach().clone(memory_format=torch.contiguous_format)
