"""Amounts of memory as texts, and the memory that this process holds and may still claim."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

MIB = 2**20
UNITS = {"KIB": 2**10, "MIB": MIB, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
CGROUP = Path("/sys/fs/cgroup")


def parse_memory(text: str) -> int:
    """Convert "4GiB" or "500 MiB" to bytes; a number without a unit is refused.

    Raises:
        ValueError: if the text is not an amount of memory.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    if not found or found[2].upper() not in UNITS or float(found[1]) <= 0:
        raise ValueError(
            f"memory (={text!r}) must be an amount above 0 with its unit, such as 4GiB or 500MiB"
        )
    return int(float(found[1]) * UNITS[found[2].upper()])


def format_memory(count: float) -> str:
    """Format bytes for people: "1.9 GiB", "310 MiB" or "10 KiB"."""
    for unit, size in (("GiB", 2**30), ("MiB", MIB)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if unit == "GiB" else f"{count / size:.0f} {unit}"
    return f"{count / 2**10:.0f} KiB"


def free_memory() -> int:
    """Return the bytes that this process may still claim, of the machine or of its container."""
    free = psutil.virtual_memory().available
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return free
    used -= int(stat.get("inactive_file", 0))  # cached files, freed on demand
    return free if limit == "max" else min(free, max(0, int(limit) - used))


def used_memory() -> int:
    """Return the bytes that this process holds now."""
    return psutil.Process().memory_info().rss
