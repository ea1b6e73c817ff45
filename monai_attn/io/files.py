"""Files that appear whole or not at all, writable folders, and digests of files."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from monai_attn.io import unnamed_file
from monai_attn.io.errors import reason

CHUNK = 2**22  # bytes read at a time


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

    Raises:
        OSError: one line that names the file, if it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        handle, nameless = unnamed_file.create(part)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
            if nameless:
                unnamed_file.give_name(handle, part)
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
