"""A network as a graph of operations: what converters start from."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from monai_attn.inference.backends.outputs import AsTuple

SMALL = 32  # voxels: five halvings


def trace(network: nn.Module, window: tuple[int, ...]) -> torch.jit.ScriptModule:
    """The operations that the network runs, on its own device.

    They are recorded on a smaller window (C, *roi), which is quicker than a whole one, of the same
    remainder by 32: what a network does at odd sizes it does here too. Whether the graph holds for the
    whole window is what the parity check sees.
    """
    channels, *roi = window
    small = [n if n < 2 * SMALL else SMALL + n % SMALL for n in roi]
    weight = next(network.parameters(), torch.empty(0))
    example = torch.zeros(1, channels, *small, device=weight.device)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants; torch.jit calls itself deprecated
        return torch.jit.trace(AsTuple(network), example, check_trace=False)
