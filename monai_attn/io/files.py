"""Files that appear whole or not at all, writable and locked folders, and digests of files."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from monai_attn.io.errors import reason

OPEN_FILES = Path("/proc/self/fd")  # Linux: a link to each open file, by its number
CHUNK = 2**22  # bytes read at a time
MODE = 0o666  # less the umask, as for any new file


def make_writable(folder: Path) -> None:
    """Make a folder and check that files can be written to it, before hours of work.

    Raises:
        ValueError: if the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder"
        ) from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a temporary file to write to; give it its name at the end, or delete it after an error.

    Missing folders are made. A run that is killed at any moment leaves the old file or the whole new
    one. On Linux, with its files without a name, nothing else is left, unless the run is killed in the
    instant of replacing an old file; elsewhere a hidden `.NAME.XXXX.part` may be left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        handle, nameless = _create(part)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
            if nameless:
                _name(handle, part)
        part.replace(path)
    except OSError as error:
        raise OSError(
            f"{path}: cannot be written ({error.strerror or reason(error)}); make room, or choose "
            "another output"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def sha256_of(*files: Path) -> str:
    """Return the SHA-256 of the contents of files, one after the other."""
    digest = sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


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


def _create(part: Path) -> tuple[int, bool]:
    """Create and open a file, and return its handle and whether it has no name yet."""
    if hasattr(os, "O_TMPFILE") and OPEN_FILES.is_dir():
        try:
            return os.open(part.parent, os.O_TMPFILE | os.O_RDWR, MODE), True
        except OSError:  # not on every file system
            pass
    new = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.open(part, new, MODE), False


def _name(handle: int, part: Path) -> None:
    folder = os.open(part.parent, os.O_RDONLY)
    try:  # os.link follows the link to the open file only if it is given the folder's handle
        os.link(OPEN_FILES / str(handle), part.name, dst_dir_fd=folder)
    finally:
        os.close(folder)
