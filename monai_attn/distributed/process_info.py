"""The rank of this process among several, from the variables that torchrun sets.

It is for the command line, before torch is imported, and for segmenting, which needs no process group. In a
training, which has one, ranks and sums are those of `ignite.distributed`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # torchrun's, not ours


@dataclass(frozen=True)
class ProcessInfo:
    """The place of a process among those of one run; by default it is the only one.

    Attributes:
        rank: its number, from 0.
        size: number of processes.
        local_rank: its number on this machine, from 0.
        local_size: number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def read_process_info(environment: Mapping[str, str] = os.environ) -> ProcessInfo:
    """Return the place of this process; it is the only one if torchrun did not start it.

    Args:
        environment: the variables that torchrun sets.

    Raises:
        ValueError: if the variables are not consistent.

    Example:
        >>> read_process_info({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
        ProcessInfo(rank=3, size=4, local_rank=1, local_size=2)
    """
    if not all(name in environment for name in NAMES):
        return ProcessInfo()
    texts = [environment[name] for name in NAMES]
    if all(text.isdecimal() for text in texts):
        rank, size, local_rank, local_size = map(int, texts)
        if rank < size and local_rank < local_size <= size:
            return ProcessInfo(rank, size, local_rank, local_size)
    said = ", ".join(f"{name} (={text})" for name, text in zip(NAMES, texts, strict=True))
    raise ValueError(
        f"{said}: each rank must be below its size; start with torchrun, or unset these variables"
    )
