"""A file that appears whole or not at all, folders that can be written to, and what files hold."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from monai_attn.data.errors import reason

OPEN_FILES = Path("/proc/self/fd")  # Linux: each open file under its number
CHUNK = 2**22  # bytes read at a time
MODE = 0o666  # less the umask, as for any new file


def make_writable(folder: Path) -> None:
    """Make a folder and see that a file can be written to it, before hours are spent.

    Raises:
        ValueError: if it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder"
        ) from error


@contextmanager
def written_whole(path: str | Path) -> Iterator[BinaryIO]:
    """A private file to write to, which takes its name at the end, and is gone after an error.

    Missing folders are made. A run that is killed at any moment leaves the old file or the whole new
    one. Nothing else is left where the system has files without a name (Linux), unless it is killed in
    the instant of replacing an old file; elsewhere perhaps a hidden `.NAME.XXXX.part`.
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
    """The SHA-256 of what files hold, one after the other."""
    digest = sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other run is here for this folder; on systems without such locks, do not wait."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have none
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which lets go of it


def _create(part: Path) -> tuple[int, bool]:
    """A new file, open, and whether it still lacks its name."""
    if hasattr(os, "O_TMPFILE") and OPEN_FILES.is_dir():
        try:
            return os.open(part.parent, os.O_TMPFILE | os.O_RDWR, MODE), True
        except OSError:  # not on every file system
            pass
    new = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.open(part, new, MODE), False


def _name(handle: int, part: Path) -> None:
    folder = os.open(part.parent, os.O_RDONLY)
    try:  # only with a folder's handle does link follow what stands for the open file
        os.link(OPEN_FILES / str(handle), part.name, dst_dir_fd=folder)
    finally:
        os.close(folder)
