"""The time that a network takes for one window."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def time_window(network: Callable[[Tensor], Any], window: Tensor) -> float:
    """Return the seconds of a network's second run on a window (1, C, *roi): the first one is slower."""
    network(window)
    _wait(window.device)
    start = time.perf_counter()
    network(window)
    _wait(window.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    """Wait until the GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
