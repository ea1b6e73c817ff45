"""A fingerprint that shows a change of a network without running it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

PLAIN = (bool, int, float, str, type(None))


def digest_network(network: nn.Module) -> str:
    """Compute a digest of everything that determines a network's outputs.

    It covers the source of its modules' classes, their plain settings, such as a stride or an epsilon,
    and every weight and statistic, but not their layout in memory.
    """
    found = sha256()
    sources: set[str] = set()
    for name, module in network.named_modules():
        kind = type(module)
        with suppress(TypeError, OSError):  # a class defined interactively has no file
            sources.add(inspect.getsourcefile(kind) or "")
        found.update(
            f"{name} {kind.__module__}.{kind.__qualname__} {sorted(_settings(module))}".encode()
        )
    for source in sorted(filter(None, sources)):
        found.update(Path(source).read_bytes())
    for name, tensor in chain(network.named_parameters(), network.named_buffers()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _settings(module: nn.Module) -> Iterator[tuple[str, str]]:
    for name, value in vars(module).items():
        if _is_plain(value):
            yield name, repr(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)
