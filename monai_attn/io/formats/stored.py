"""Scans whose header, of any format, says where the voxels lie in space and in which file.

SimpleITK and nibabel read these formats too. But a missing grid becomes one of 1 mm, and a file that was cut
short or damaged may be read as if it were whole. So the headers are parsed and checked here, and the voxels
go through the same reader as those of NIfTI.
"""

from __future__ import annotations

import math
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from monai_attn.io.affine import check_affine
from monai_attn.io.file_kind import opened, readable, require_regular
from monai_attn.io.grid import Grid
from monai_attn.io.nifti.header import MOST_VOXELS, NiftiHeader
from monai_attn.io.nifti.voxels import DEFLATE, PADDING, read_stream
from monai_attn.io.scan import Scan, check_holes

AGAIN = "export it again"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class StoredVolume:
    """A volume as a header describes it.

    Attributes:
        grid: its grid.
        dtype: type of a stored voxel, with its byte order.
        file: the file of the voxels.
        start: bytes before the voxels in that file; of the unpacked stream if the file is packed.
        packing: how the voxels are packed: "" not at all, "gzip", "zlib", or "file" for the whole file.
        doubts: doubts about the header, one phrase each.
    """

    grid: Grid
    dtype: np.dtype[Any]
    file: Path
    start: int
    packing: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def header(self) -> NiftiHeader:
        """The same as a header of NIfTI, for a stream that begins with the voxels."""
        return NiftiHeader(self.grid, 1, self.dtype, 1.0, 0.0, 0, self.doubts)


class StoredScan(Scan):
    """A scan in a file whose header is parsed by a subclass."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        require_regular(path)

    @property
    def grid(self) -> Grid:
        """Grid of the volume."""
        return self._stored.grid

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, and that of the voxels if it is another."""
        return tuple(dict.fromkeys((self.path, self._stored.file)))

    @cached_property
    def _stored(self) -> StoredVolume:
        with opened(self.path) as stream:
            return self.parse(stream)

    @abstractmethod
    def parse(self, stream: BinaryIO) -> StoredVolume:
        """Parse and check the header at the beginning of a stream.

        Raises:
            ValueError: one line that names the file, the rule, what was received and the remedy.
        """

    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        stored = self._stored
        with _voxels(stored) as stream:
            packed = bool(stored.packing)
            data, holes = read_stream(stored.file, stream, stored.header, fill=fill, packed=packed)
        return data, (*stored.doubts, *check_holes(self.path, holes, data.size, fill))


def volume_grid(
    path: Path, shape: Sequence[int], axes: NDArray[np.float64], first: NDArray[np.float64]
) -> Grid:
    """Return a checked grid.

    Args:
        path: the file, for errors.
        shape: voxels along each axis.
        axes: (3, 3) step along each axis as a column, in RAS+ mm.
        first: position of the first voxel in RAS+ mm.

    Raises:
        ValueError: one line that names the file, if it is not one volume or its affine is not sound.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"{path}: {len(shape)} dimensions {tuple(shape)} (expected one 3D volume); extract one first"
        )
    if math.prod(shape) > MOST_VOXELS:
        raise ValueError(
            f"{path}: {math.prod(shape)} voxels (limit {MOST_VOXELS}); crop or resample it first"
        )
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, first
    check_affine(path, affine)
    return Grid(tuple(shape), affine, 1, path)


def numbers(path: Path, key: str, text: str, kind: type = float) -> list[Any]:
    """Parse the numbers of a header's field.

    Raises:
        ValueError: one line that names the file and the field.
    """
    try:
        return [kind(part) for part in text.split()]
    except ValueError as error:
        raise ValueError(
            f"{path}: the field {key!r} holds no numbers (got {text!r:.40}); {AGAIN}"
        ) from error


@contextmanager
def _voxels(stored: StoredVolume) -> Iterator[BinaryIO]:
    """Open the stream of the voxels, unpacked."""
    if stored.packing == "file":
        with opened(stored.file) as stream:
            stream.read(stored.start)
            yield stream
        return
    require_regular(stored.file)
    with readable(stored.file), stored.file.open("rb") as file:
        file.seek(stored.start)
        if stored.packing == "gzip":
            yield igzip.IGzipFile(fileobj=file)
        elif stored.packing == "zlib":
            yield _inflated(file.read(), stored)
        else:
            yield file


def _inflated(packed: bytes, stored: StoredVolume) -> BinaryIO:
    """Unpack a stream of zlib, no further than a sound one can reach, and check that it is whole."""
    most = stored.header.volume_bytes + PADDING + 1
    if len(packed) * DEFLATE < stored.header.volume_bytes:
        return BytesIO()  # cut short, without memory for the size in the header
    stream = isal_zlib.decompressobj()
    raw = stream.decompress(packed, most)
    if not stream.eof and len(raw) < most:
        raise zlib.error("the stream ends early")
    return BytesIO(raw)
