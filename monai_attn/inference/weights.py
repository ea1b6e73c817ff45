"""Loading of a network's weights from a file, without running code that the file may hold."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from monai_attn.io.errors import reason

DECODER = re.compile(r"decoder\.(?P<decoder>\d+)\.(?P<gate>gate\.)?")


def load_weights(network: torch.nn.Module, path: Path, device: torch.device) -> None:
    """Load the weights in a file into a network.

    Raises:
        ValueError: if the file is missing, holds anything but tensors, or does not fit the network.
    """
    state = read_weights(path, device)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        fault = _gates_fault(network, state) or f"does not fit the network ({reason(error)})"
        raise ValueError(f"{path}: {fault}") from error


def read_weights(path: Path, device: torch.device) -> Any:
    """Read the content of a file: tensors and plain values only.

    Raises:
        ValueError: if the file is missing, or holds anything else.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no weights; train the bundle first")
    try:
        with warnings.catch_warnings():  # torch warns about files that it then refuses
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path}: cannot be read as weights; copy or train them again") from error
    return state


def _gates_fault(network: torch.nn.Module, state: Any) -> str:
    """Describe a difference in the gated levels of weights and network; empty if they agree."""
    if not isinstance(state, dict):
        return ""
    (depth, wanted), (given_depth, given) = map(_gated_levels, (network.state_dict(), state))
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
        f"{' and '.join(said)}, and the network is built {'with' if wanted - given else 'without'} it; the "
        "gates it was trained with expected: set network_def#gate and network_def#gated_levels to them, or "
        "train with another --gate"
    )


def _gated_levels(state: Mapping[str, Any]) -> tuple[int, set[int]]:
    """Return the number of decoders of an `AttentionUNet` and its gated levels, by its tensors' names."""
    found = [match for name in state if (match := DECODER.match(str(name)))]
    depth = len({match["decoder"] for match in found})
    # the finest level runs last
    return depth, {depth - 1 - int(match["decoder"]) for match in found if match["gate"]}
