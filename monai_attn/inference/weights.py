"""Loading of a network's weights from a file, without running code that the file may hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from monai_attn.io.errors import reason


def load_weights(
    network: torch.nn.Module,
    path: Path,
    device: torch.device,
    *,
    explain: Callable[[torch.nn.Module, Any], str] = lambda network, state: "",
) -> None:
    """Load the weights in a file into a network.

    Args:
        network: changed in place.
        path: the file of weights.
        device: device to read them onto.
        explain: function from the network, and weights that do not fit it, to the reason and the remedy;
            empty if it knows none.

    Raises:
        ValueError: if the file is missing, holds anything but tensors, or does not fit the network.
    """
    state = read_weights(path, device)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        fault = explain(network, state) or f"does not fit the network ({reason(error)})"
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
