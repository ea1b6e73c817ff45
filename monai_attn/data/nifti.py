"""Voxels from a NIfTI file, chunk by chunk, to its end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from monai_attn.data.file_kind import opened
from monai_attn.data.names import suffix
from monai_attn.data.nifti_header import NiftiHeader, read_header

CHUNK = 2**22  # bytes decoded at a time: what is stored never lies in memory as a whole
DEFLATE = 1032  # no gzip stream holds more bytes than this for each of its own
PADDING = 2**16  # bytes behind the last voxel that some writers leave; more are voxels


def nifti_files(path: Path) -> tuple[Path, Path]:
    """The file that holds the header, and the one that holds the voxels: one, or a pair.

    Raises:
        ValueError: if the other of a pair is missing.
    """
    end = suffix(path)
    if end.lower() not in (".hdr", ".img"):
        return path, path
    upper = end.isupper()
    names = [path.name[: -len(end)] + (e.upper() if upper else e) for e in (".hdr", ".img")]
    header, image = (path.with_name(name) for name in names)
    for file in (header, image):
        if path.is_file() and not file.exists():
            raise ValueError(f"{path}: {file.name} is missing beside it; copy both of the pair")
    return header, image


def nifti_header(path: Path) -> NiftiHeader:
    """The header of a file or a pair, checked.

    Raises:
        ValueError: one line that names the file.
    """
    file, _ = nifti_files(path)
    with opened(file) as stream:
        return read_header(file, stream)


def read_voxels(
    path: Path, header: NiftiHeader, volume: int = 0, fill: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """The scaled voxels (X, Y, Z) of one volume, and how many of them have no finite value.

    Memory holds the result alone. The stream is read to its end, so that its checksum is compared, but
    no further than a sound one reaches.

    Args:
        path: the file, or one of a pair.
        header: its header.
        volume: which of its volumes, from 0.
        fill: what voxels without a finite value become; None keeps them.

    Raises:
        ValueError: one line that names the file.
    """
    _, file = nifti_files(path)
    size = header.volume_bytes
    needed = header.offset + header.volumes * size
    packed = file.name.lower().endswith(".gz")
    with opened(file) as stream:
        held = file.stat().st_size * (DEFLATE if packed else 1)
        if held < needed:  # before memory is claimed for what the header promises
            _require(file, _skip(stream, needed), needed)
        done = _skip(stream, header.offset + volume * size)
        data = np.empty(math.prod(header.grid.shape), np.float32)
        read, holes = _decode(stream, header, data, fill)
        done += read
        _require(file, done, header.offset + (volume + 1) * size)
        done += _skip(stream, needed - done)
        _require(file, done, needed)
        rest = _skip(stream, PADDING + 1)
    if rest > PADDING:
        raise ValueError(
            f"{file}: more bytes than the {needed} that its header names; export it again"
        )
    return data.reshape(header.grid.shape, order="F"), holes


def _decode(
    stream: BinaryIO, header: NiftiHeader, data: NDArray[np.float32], fill: float | None
) -> tuple[int, int]:
    """Decode voxels while there are any; how many bytes were read, and how many were not finite."""
    itemsize, filled, done, holes = header.dtype.itemsize, 0, 0, 0
    scaled = (header.slope, header.intercept) != (1.0, 0.0)
    while filled < data.size:
        raw = _read(stream, min(CHUNK, (data.size - filled) * itemsize))
        done += len(raw)
        values = np.frombuffer(raw[: len(raw) // itemsize * itemsize], header.dtype)
        if not values.size:
            break
        part = data[filled : filled + values.size]
        with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is a hole
            part[:] = values * np.float64(header.slope) + header.intercept if scaled else values
        if scaled or header.dtype.kind == "f":
            broken = ~np.isfinite(part)
            holes += int(np.count_nonzero(broken))
            if fill is not None:
                part[broken] = fill
        filled += values.size
    return done, holes


def _read(stream: BinaryIO, count: int) -> bytes:
    """So many bytes, or what there is: a stream of several gzip members gives them by halves."""
    raw = stream.read(count)
    while 0 < len(raw) < count and (more := stream.read(count - len(raw))):
        raw += more
    return raw


def _skip(stream: BinaryIO, count: int) -> int:
    """Read so many bytes, or to the end; how many there were."""
    done = 0
    while done < count and (raw := stream.read(min(CHUNK, count - done))):
        done += len(raw)
    return done


def _require(path: Path, held: int, needed: int) -> None:
    if held < needed:
        raise ValueError(
            f"{path}: holds {held} bytes of the {needed} that its header names; copy it again"
        )
