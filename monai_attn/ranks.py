"""Which of several processes this one is, as torchrun tells each that it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # torchrun's, not ours


@dataclass(frozen=True)
class Ranks:
    """A process's place among those of one run; alone by default.

    Attributes:
        rank: its number, from 0.
        size: how many processes there are.
        local_rank: its number on this machine, from 0.
        local_size: how many processes there are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def find_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """The place of this process; alone, if torchrun did not start it.

    Args:
        environment: the variables that torchrun sets.

    Raises:
        ValueError: if they make no sense together.

    Example:
        >>> find_ranks({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
        Ranks(rank=3, size=4, local_rank=1, local_size=2)
    """
    if not all(name in environment for name in NAMES):
        return Ranks()
    texts = [environment[name] for name in NAMES]
    if all(text.isdecimal() for text in texts):
        rank, size, local_rank, local_size = map(int, texts)
        if rank < size and local_rank < local_size <= size:
            return Ranks(rank, size, local_rank, local_size)
    said = ", ".join(f"{name} (={text})" for name, text in zip(NAMES, texts, strict=True))
    raise ValueError(f"{said}: no rank below its size; start with torchrun, or unset them")
