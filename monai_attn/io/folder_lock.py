"""Lock on a folder, so that two runs do not write one case at the same time.

POSIX only: `fcntl.flock` locks an open folder, and the system releases the lock when a process ends, even if
it is killed. A lock file would stay behind. Windows has no such call, and some network file systems refuse
it; there the run goes on without a lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Wait for other runs and hold a lock on a folder; without such locks, do not wait."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # this releases the lock
