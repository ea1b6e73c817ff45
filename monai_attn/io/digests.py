"""Digests of files that are asked for more than once, such as those of a bundle."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from monai_attn.io.files import sha256_of


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file; computed again only if its size or time of change differs.

    Raises:
        OSError: if the file cannot be read.
    """
    stat = path.stat()
    return _digest(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, *_: int) -> str:
    return sha256_of(path)
