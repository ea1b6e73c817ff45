"""A network as a graph of operations: what converters start from, and what says that it has changed."""

from __future__ import annotations

import re
import warnings
from hashlib import sha256
from itertools import chain

import torch
from torch import nn

from monai_attn.inference.backends.outputs import AsTuple

SMALL = 32  # voxels: five halvings
# Parts of a graph's text that differ between equal networks: a count of the traces in this process, and
# the order of a tensor in memory.
CHANCE = re.compile(r"___torch_mangle_\d+\.|strides=\[[\d, ]*\], ")


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


def digest(network: nn.Module, window: tuple[int, ...]) -> str:
    """A fingerprint of all that decides the network's outputs: its operations and its weights."""
    graph = trace(network, window).inlined_graph
    text = graph.str(False)  # type: ignore[attr-defined]  # False: without paths and line numbers
    found = sha256(CHANCE.sub("", text).encode())
    for name, tensor in chain(network.named_parameters(), network.named_buffers()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
