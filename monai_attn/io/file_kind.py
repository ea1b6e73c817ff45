"""Checks that a path is a regular file, and that its content is of the kind that its name says."""

from __future__ import annotations

import errno
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from isal import igzip, isal_zlib  # gzip's interface and its checksum, in a third of the time

from monai_attn.io.errors import reason

GZIP = b"\x1f\x8b"
URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# the first bytes of files, in lower case; their kind; the remedy
CONTENTS = (
    (
        (b"version https://git-lfs",),
        "a git-lfs pointer, not the scan",
        "fetch it with git lfs pull",
    ),
    ((b"/annex/objects",), "a git-annex pointer, not the scan", "fetch it with git annex get"),
    ((b"<!doctype", b"<html", b"<?xml"), "a web page, not a scan", "download it again, signed in"),
    (
        tuple(b"\x80%c" % n for n in range(2, 6)),
        "a Python pickle, which could run code and is not opened",
        "export as NIfTI",
    ),
    ((b"pk\x03\x04",), "a ZIP archive", "unpack it first"),
    (
        (b"bzh", b"\xfd7zxz", b"\x28\xb5\x2f\xfd"),
        "compressed, but not with gzip",
        "unpack it first",
    ),
    ((GZIP,), "compressed twice", "unpack it once"),
    ((b"nrrd",), "an NRRD file", "rename it to .nrrd"),
    ((b"objecttype",), "a MetaImage file", "rename it to .mha"),
    ((b"\x89hdf",), "an HDF5 file", "convert it to NIfTI first"),
    ((b"\x93numpy",), "a NumPy array, without a grid", "convert it to NIfTI first"),
    ((b"\x89png", b"\xff\xd8\xff"), "a picture", "give the scan itself"),
)
DICOM = (b"dicm", 128)  # after the preamble of 128 bytes


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file and yield its bytes, unpacked if its name ends in .gz.

    Raises:
        ValueError: one line that names the file, if it does not exist, is of another kind than its name
            says, or its stream ends early or is damaged.
    """
    require_regular(path)
    packed = path.name.lower().endswith((".gz", ".mgz"))
    with readable(path), path.open("rb") as file:
        head = file.read(256)
        file.seek(0)
        _require_packing(path, head, packed)
        yield igzip.open(file) if packed else file


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors of a stream that ends early or is damaged into a `ValueError` that names the file."""
    try:
        yield
    except (OSError, EOFError, OverflowError, zlib.error, isal_zlib.error) as error:  # type: ignore[misc]
        raise ValueError(
            f"{path}: cannot be read to its end ({reason(error)}); copy it again"
        ) from error


def require_regular(path: Path) -> None:
    """Refuse anything but a regular file, without opening it: opening a pipe could block.

    Raises:
        ValueError: one line that names the path.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise ValueError(f"{path}: {_absence(path, error)}") from error
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in KINDS if test(mode)), "something else")
        raise ValueError(f"{path}: is {kind}, not a regular file; give the file of a scan")


def foreign_kind(head: bytes) -> str:
    """Return the kind of a file by its first bytes, and the remedy; an empty text if it is not known.

    Args:
        head: its first 256 bytes or more.
    """
    head = head.lower()
    if head[DICOM[1] :].startswith(DICOM[0]):
        return "a DICOM file; give the folder that holds its series"
    for signs, kind, remedy in CONTENTS:
        if head.startswith(signs) or head.lstrip().startswith(signs):
            return f"{kind}; {remedy}"
    return ""


def _require_packing(path: Path, head: bytes, packed: bool) -> None:
    if not head:
        raise ValueError(f"{path}: is empty; copy it again")
    if head.startswith(GZIP) == packed:
        return
    if packed:
        fault = foreign_kind(head) or "named .gz, but not compressed; copy it again, or rename it"
    else:
        fault = "compressed, but its name does not end in .gz; rename it"
    raise ValueError(f"{path}: {fault}")


def _absence(path: Path, error: Exception) -> str:
    """Return the reason why there is no file at a path, and the remedy."""
    if URL.match(str(path)):
        return "is a URL; download the file and give its path"
    if getattr(error, "errno", None) == errno.ELOOP:
        return "is a link in a loop; give the file itself"
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return "is a broken link; give the file itself"
        return "does not exist; check the path"
    why = getattr(error, "strerror", None) or reason(error)
    return f"cannot be opened ({why}); check the path"
