"""Weights from a file into a network, never by way of code that the file holds."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from monai_attn.data.errors import reason


def load_weights(network: torch.nn.Module, path: Path, device: torch.device) -> None:
    """Load a state dict.

    Raises:
        ValueError: if the file is missing, holds anything but tensors, or does not fit the network.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no weights; train the bundle first")
    try:
        with warnings.catch_warnings():  # torch guesses at what it is about to refuse
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path}: cannot be read as weights; copy or train them again") from error
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{path}: does not fit the network ({reason(error)})") from error
