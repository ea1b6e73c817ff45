"""Temporary files that have no name until they are complete, where the system has them.

Linux only: a file opened with `O_TMPFILE` vanishes when its process ends, so that a killed run leaves nothing
in the output folder. `tempfile` uses it too, but cannot give such a file a name afterwards. Elsewhere, and on
file systems that refuse it, the file has its temporary name from the start.
"""

from __future__ import annotations

import os
from pathlib import Path

OPEN_FILES = Path("/proc/self/fd")  # Linux: a link to each open file, by its number
MODE = 0o666  # less the umask, as for any new file


def create(part: Path) -> tuple[int, bool]:
    """Create and open a file, and return its handle and whether it has no name yet."""
    if hasattr(os, "O_TMPFILE") and OPEN_FILES.is_dir():
        try:
            return os.open(part.parent, os.O_TMPFILE | os.O_RDWR, MODE), True
        except OSError:  # not on every file system
            pass
    new = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.open(part, new, MODE), False


def give_name(handle: int, part: Path) -> None:
    """Give a file without a name the name `part`, in the folder in which it was created."""
    folder = os.open(part.parent, os.O_RDONLY)
    try:  # os.link follows the link to the open file only if it is given the folder's handle
        os.link(OPEN_FILES / str(handle), part.name, dst_dir_fd=folder)
    finally:
        os.close(folder)
