"""Voxels of a NIfTI file, read in chunks to the end of the file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.file_kind import opened
from monai_attn.io.names import suffix
from monai_attn.io.nifti.header import NiftiHeader, read_header

CHUNK = 2**22  # bytes decoded at a time, so that the stored bytes are never in memory as a whole
DEFLATE = 1032  # the largest compression ratio of gzip
PADDING = 2**16  # bytes after the last voxel that some writers add; more must be voxels


def nifti_files(path: Path) -> tuple[Path, Path]:
    """Return the file with the header and the file with the voxels: the same file, or a pair.

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
            raise ValueError(
                f"{path}: {file.name} is missing next to it; copy both files of the pair"
            )
    return header, image


def nifti_header(path: Path) -> NiftiHeader:
    """Read and check the header of a file or a pair.

    Raises:
        ValueError: one line that names the file.
    """
    file, _ = nifti_files(path)
    with opened(file) as stream:
        return read_header(file, stream)


def read_voxels(
    path: Path, header: NiftiHeader, volume: int = 0, fill: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Read the scaled voxels (X, Y, Z) of one volume, and count those without a finite value.

    Memory holds only the result. The stream is read to its end, so that its checksum is compared, but no
    further than a sound stream can reach.

    Args:
        path: the file, or one of a pair.
        header: the file's header.
        volume: index of the volume in the file, from 0.
        fill: value for voxels without a finite value; None keeps them.

    Raises:
        ValueError: one line that names the file.
    """
    _, file = nifti_files(path)
    with opened(file) as stream:
        packed = file.name.lower().endswith(".gz")
        return read_stream(file, stream, header, volume=volume, fill=fill, packed=packed)


def read_stream(
    file: Path,
    stream: BinaryIO,
    header: NiftiHeader,
    *,
    volume: int = 0,
    fill: float | None = None,
    packed: bool,
) -> tuple[NDArray[np.float32], int]:
    """Read the voxels of one volume from a stream, as `read_voxels` does from a file.

    Args:
        file: named in errors; its size limits that of the stream.
        stream: its bytes, unpacked.
        header: its `offset` counts from where the stream is.
        volume: as for `read_voxels`.
        fill: as for `read_voxels`.
        packed: whether the file is compressed.

    Raises:
        ValueError: one line that names the file.
    """
    size = header.volume_bytes
    needed = header.offset + header.volumes * size
    available = file.stat().st_size * (DEFLATE if packed else 1)
    if available < needed:  # before memory is allocated for the size in the header
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
            f"{file}: more bytes than its header describes (expected {needed}); export it again"
        )
    return data.reshape(header.grid.shape, order="F"), holes


def _decode(
    stream: BinaryIO, header: NiftiHeader, data: NDArray[np.float32], fill: float | None
) -> tuple[int, int]:
    """Decode voxels while there are any; return the bytes read and the number of voxels not finite."""
    itemsize, filled, done, holes = header.dtype.itemsize, 0, 0, 0
    scaled = (header.slope, header.intercept) != (1.0, 0.0)
    while filled < data.size:
        raw = _read(stream, min(CHUNK, (data.size - filled) * itemsize))
        done += len(raw)
        values = np.frombuffer(raw[: len(raw) // itemsize * itemsize], header.dtype)
        if not values.size:
            break
        part = data[filled : filled + values.size]
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float32: a hole
            part[:] = values * np.float64(header.slope) + header.intercept if scaled else values
        if scaled or header.dtype.kind == "f":
            broken = ~np.isfinite(part)
            holes += int(np.count_nonzero(broken))
            if fill is not None:
                part[broken] = fill
        filled += values.size
    return done, holes


def _read(stream: BinaryIO, count: int) -> bytes:
    """Read `count` bytes, or as many as there are: several gzip members need several reads."""
    raw = stream.read(count)
    while 0 < len(raw) < count and (more := stream.read(count - len(raw))):
        raw += more
    return raw


def _skip(stream: BinaryIO, count: int) -> int:
    """Skip `count` bytes, or to the end, and return the number skipped."""
    done = 0
    while done < count and (raw := stream.read(min(CHUNK, count - done))):
        done += len(raw)
    return done


def _require(path: Path, available: int, needed: int) -> None:
    if available < needed:
        raise ValueError(
            f"{path}: the file is cut short (got {available} bytes, expected {needed}); copy it again"
        )
