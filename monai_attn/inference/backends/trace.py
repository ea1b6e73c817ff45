"""The graph of a network's operations, from which converters start."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from monai_attn.inference.backends.network_outputs import AsTuple

SMALL = 32  # voxels: five halvings


def trace(network: nn.Module, window: tuple[int, ...]) -> torch.jit.ScriptModule:
    """Record the operations that the network runs, on its own device.

    The recording uses a smaller window than (C, *roi), which is faster, with the same remainder by 32, so
    that the network treats odd sizes in the same way. The parity check tests the graph on the whole window.
    """
    channels, *roi = window
    small = [n if n < 2 * SMALL else SMALL + n % SMALL for n in roi]
    weight = next(network.parameters(), torch.empty(0))
    example = torch.zeros(1, channels, *small, device=weight.device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants; torch.jit calls itself deprecated
        return torch.jit.trace(AsTuple(network), example, check_trace=False)
