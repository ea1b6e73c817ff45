"""The limit of a GPU's memory that torch may hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def used_device_memory(device: torch.device) -> int:
    """Return the bytes that tensors of this process take on a GPU, such as weights; 0 on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


@contextmanager
def limited_device_memory(device: torch.device, limit: int | None) -> Iterator[None]:
    """Let torch hold at most this many bytes of a GPU while a block runs.

    CUDA's own context, some hundred MiB, is not counted. More than the limit raises
    `torch.OutOfMemoryError`, as on a GPU of that size.

    Args:
        device: the device; nothing is limited on a CPU.
        limit: the bytes; None for no limit.
    """
    if device.type != "cuda" or limit is None:
        yield
        return
    total = torch.cuda.get_device_properties(device).total_memory
    before = torch.cuda.memory.get_per_process_memory_fraction(device)
    torch.cuda.empty_cache()  # blocks that are kept from before count too
    torch.cuda.set_per_process_memory_fraction(min(before, limit / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(before, device)
