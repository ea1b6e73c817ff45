"""Lock on a folder, so that two processes do not write the same files at the same time.

POSIX only: `fcntl.flock` locks an open folder, and the system releases the lock when a process ends, even if
it is killed. A lock file would stay behind. Windows has no such call, and some network file systems refuse
it; there the run goes on without a lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PAUSE = 0.1  # seconds between two attempts


@contextmanager
def folder_lock(folder: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold a lock on a folder; where the system has no such locks, hold none.

    Args:
        folder: created if needed.
        patience: seconds to wait for another process that holds the lock; None waits until it ends.

    Raises:
        ValueError: if another process holds it for longer.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            if patience is None:
                fcntl.flock(handle, fcntl.LOCK_EX)
            else:
                _try_until(handle, time.monotonic() + patience, folder)
        yield
    finally:
        os.close(handle)  # this releases the lock


def _try_until(handle: int, end: float, folder: Path) -> None:
    import fcntl

    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise ValueError(
                    f"{folder}: another process is at work in it. Wait until it has ended, or choose another "
                    "folder."
                ) from error
        time.sleep(PAUSE)
