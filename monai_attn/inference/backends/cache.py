"""A cache of compiled networks in a folder that belongs to the user only."""

from __future__ import annotations

import json
import os
import stat
import warnings
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path

from monai_attn.inference.backends.parity import Parity
from monai_attn.io.errors import reason
from monai_attn.io.files import atomic_write


@dataclass(frozen=True)
class Entry:
    """One compiled network.

    Attributes:
        blob: bytes for the backend's `load`; empty if there is nothing to store except the parity.
        single: whether the network returns one tensor and not a tuple.
        parity: its difference from eager float32.
    """

    blob: bytes
    single: bool
    parity: Parity


class Cache:
    """A folder of entries, each a file: a checksum, one line of JSON, the blob.

    It holds compiled code, so a folder that others own or can write to is not used. Errors of the cache
    cost time, but never a result. Nothing is ever removed from it; to free its space delete the folder.

    Args:
        folder: made if it is missing, with access for the user only; by default the user's cache
            folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_cache_path("monai-attn", appauthor=False)
        why = _unusable(self.folder)
        self.usable = not why
        if why:
            warnings.warn(f"{self.folder}: no cache, {why}", RuntimeWarning, stacklevel=3)

    def read(self, key: str) -> Entry | None:
        """Read an entry; None if it is missing or damaged."""
        if not self.usable:
            return None
        try:
            checksum, _, content = (self.folder / key).read_bytes().partition(b"\n")
            if checksum.decode() != sha256(content).hexdigest():
                return None
            header, _, blob = content.partition(b"\n")
            fields = json.loads(header)
            return Entry(blob, fields["single"], Parity(**fields["parity"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: str, entry: Entry) -> None:
        """Store an entry, or warn that it could not be stored."""
        if not self.usable:
            return
        header = json.dumps({"single": entry.single, "parity": asdict(entry.parity)})
        content = header.encode() + b"\n" + entry.blob
        try:
            with atomic_write(self.folder / key) as file:
                file.write(sha256(content).hexdigest().encode() + b"\n" + content)
        except OSError as error:
            warnings.warn(f"{self.folder}: no cache, {reason(error)}", RuntimeWarning, stacklevel=3)


def _unusable(folder: Path) -> str:
    """Make the folder; return the reason why it cannot be made or trusted, or an empty string."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        return reason(error)
    if not hasattr(os, "getuid"):  # Windows: the user's folders are private by inheritance
        return ""
    if found.st_uid != os.getuid():
        return "it belongs to another user; name a folder of your own"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others can write to it; chmod 700 it"
    return ""
