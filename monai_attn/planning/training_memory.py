"""Memory that training may take: of the GPU if there is one, else of the machine."""

from __future__ import annotations

from monai_attn.inference.memory import free_memory

SHARE = 0.8  # of the free memory: libraries reserve some, and some is fragmented


def training_memory() -> tuple[int, bool]:
    """Return the bytes that training may hold on this machine, and whether they are a GPU's."""
    import torch

    if torch.cuda.is_available():
        return int(SHARE * torch.cuda.mem_get_info()[0]), True
    return int(SHARE * free_memory()), False
