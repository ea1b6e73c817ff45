"""Scans in a ZIP archive: a DICOM series or one file, unpacked to a temporary folder while it is in use.

The names in the archive are not trusted. A file is written under its own name only into a folder whose name
is a number. A path that leads out of the archive is refused, and so is one that unpacks to more than a limit.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.dicom.files import holds_dicom
from monai_attn.io.errors import reason
from monai_attn.io.file_kind import require_regular
from monai_attn.io.grid import Grid
from monai_attn.io.names import suffix
from monai_attn.io.scan import Scan, open_scan

MOST_BYTES = 2**34  # of all files, unpacked: 16 GiB, several times the largest scan
MOST_FILES = 100_000
OUTSIDE = re.compile(r"(^|/)\.\.(/|$)|^/|^[A-Za-z]:|\0")
SPARE = 2**28  # bytes that are left free on the disk


class ArchiveScan(Scan):
    """The only scan in a ZIP archive."""

    def __init__(self, path: Path, volume: int | None, series: str | None) -> None:
        super().__init__(path)
        require_regular(path)
        self._volume, self._series = volume, series
        self._remove: Callable[[], object] = bool  # nothing to remove as yet

    @property
    def grid(self) -> Grid:
        """Grid of the scan in the archive."""
        with self._named():
            return replace(self._inside.grid, path=self.path)

    @property
    def files(self) -> tuple[Path, ...]:
        """The archive."""
        return (self.path,)

    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        with self._named():
            return self._inside._read(fill)

    @cached_property
    def _unpacked(self) -> Path:
        """The scan in a temporary folder, which is removed with this object or at the end of the process."""
        folder = Path(tempfile.mkdtemp(prefix="monai-attn-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        unpack(self.path, folder)
        return _only_scan(self.path, folder)

    @cached_property
    def _inside(self) -> Scan:
        return open_scan(self._unpacked, volume=self._volume, series=self._series)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the archive in errors, and not the temporary folder, which an error removes at once."""
        try:
            yield
        except BaseException as error:
            unpacked = vars(self).pop("_unpacked", None)
            vars(self).pop("_inside", None)
            self._remove()
            if unpacked and isinstance(error, ValueError):
                texts = (str(part) for part in error.args)
                error.args = tuple(text.replace(str(unpacked), str(self.path)) for text in texts)
            raise


def unpack(path: Path, folder: Path) -> None:
    """Unpack a ZIP archive into numbered folders, one for each folder in it.

    Raises:
        ValueError: one line that names the archive, if it is damaged or encrypted, too large, or holds a path
            that leads out of it.
    """
    numbers: dict[str, int] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            _check(path, members, folder)
            for member in members:
                inside, _, name = member.filename.replace("\\", "/").rpartition("/")
                if not name or name[0] == "." or "__MACOSX" in inside:
                    continue
                target = folder / str(numbers.setdefault(inside, len(numbers)))
                target.mkdir(exist_ok=True)
                # zipfile reads no more than the size that was checked, and compares the checksum
                with archive.open(member) as source, (target / name).open("xb") as copy:
                    shutil.copyfileobj(source, copy)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise ValueError(f"{path}: cannot be unpacked ({reason(error)}); pack it again") from error


def _check(path: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    """Refuse an archive by its table of contents, before anything is unpacked."""
    if any(member.flag_bits & 1 for member in members):
        raise ValueError(f"{path}: is encrypted; unpack it first")
    outside = [one for one in members if OUTSIDE.search(one.filename.replace("\\", "/"))]
    if outside:
        raise ValueError(
            f"{path}: holds the path {outside[0].filename!r:.60}, which leads out of it; pack it again"
        )
    size = sum(member.file_size for member in members)
    if len(members) > MOST_FILES or size > MOST_BYTES:
        raise ValueError(
            f"{path}: {len(members)} files of {size} bytes (limits {MOST_FILES} and {MOST_BYTES}); "
            "unpack it, and give the folder"
        )
    free = shutil.disk_usage(folder).free - SPARE
    if size > free:
        raise ValueError(
            f"{path}: needs {size} bytes in {folder.parent} (free: {max(0, free)}); make room there, or "
            "unpack it elsewhere and give the folder"
        )


def _only_scan(path: Path, folder: Path) -> Path:
    """Return the only scan of an unpacked archive: a DICOM folder or a file."""
    folders = [one for one in folder.iterdir() if holds_dicom(one)]
    files = [
        one
        for one in folder.glob("*/*")
        if suffix(one) and not (one.suffix.lower() == ".img" and one.with_suffix(".hdr").exists())
    ]
    if len(folders) + len(files) != 1:
        raise ValueError(
            f"{path}: holds {len(folders)} DICOM series and {len(files)} other scans (expected one scan); "
            "unpack it, and give the folder"
        )
    return (folders or files)[0]
