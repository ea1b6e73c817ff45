"""A file that appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
def written_whole(path: str | Path) -> Iterator[Path]:
    """A private file beside `path` to write to; renamed onto it at the end, removed after an error.

    It keeps the suffix, by which writers choose their format. Missing folders are made. A run
    that is killed leaves the old file or the whole new one (and perhaps a hidden `.part` file),
    never half of one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:]) if path.name.lower().endswith(".nii.gz") else path.suffix
    handle, name = tempfile.mkstemp(prefix=".", suffix=f".part{suffix}", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)  # mkstemp's files are private
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
