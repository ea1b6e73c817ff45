"""Voxels of a stack in HU, decoded slice by slice; a truncated or corrupt slice is an error."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from monai_attn.io.dicom.gdcm import BIG, DEFLATED, IMPLICIT, NATIVE, reader_of, unreadable
from monai_attn.io.dicom.headers import BITS
from monai_attn.io.dicom.slices import Slice
from monai_attn.io.dicom.stack import Stack
from monai_attn.io.dicom.stderr_capture import captured_stderr
from monai_attn.io.dicom.words import by, numbers_of

WORKERS = 4  # threads that decode slices
HEADER = 2**26  # bytes, more than all the tags of a slice take
CORRUPT = (b"Corrupt JPEG", b"Premature end of JPEG")  # libjpeg warns, but continues


def read_voxels(folder: Path, stack: Stack) -> NDArray[np.float32]:
    """Read HU (X, Y, Z) slice by slice into one array, so that memory holds only the result."""
    try:
        data = np.empty(stack.grid.shape[::-1], np.float32)
    except MemoryError as error:
        raise ValueError(
            f"{folder}: {by(stack.grid.shape)} voxels, more than this machine's memory;"
            " crop or resample it first"
        ) from error
    decode = partial(_decode, folder)
    packed = any(one.header.file.syntax not in NATIVE for one in stack.slices)
    with (
        captured_stderr(packed) as said,
        ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool,
    ):
        for _ in pool.map(decode, stack.slices, data):  # the first error ends it
            pass
        if _is_corrupt(said()):
            _name_corrupt(folder, stack, data, said)
    return data.transpose()


def _decode(folder: Path, one: Slice, plane: NDArray[np.float32]) -> None:
    """Fill (rows, columns) with the HU of one slice."""
    file = one.header.file
    if file.syntax in NATIVE:
        _check_length(folder, one)
    reader = reader_of(file)
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise unreadable(folder, file) from error
    values = sitk.GetArrayViewFromImage(image)
    if values.size != plane.size:
        raise unreadable(folder, file)
    plane[:] = values.reshape(plane.shape)


def _check_length(folder: Path, one: Slice) -> None:
    """Refuse a slice with too few voxels, which GDCM would fill up with arbitrary memory.

    GDCM itself detects a file that ends early; this one was written with too few voxels.
    """
    file = one.header.file
    bits = numbers_of(one.header.tags.get(BITS, "16"))[0]
    needed = int(np.prod(one.size) * bits / 8)
    try:
        raw = file.path.read_bytes()
        if file.syntax == DEFLATED:
            raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw[file.start :], needed + HEADER)
    except (OSError, zlib.error) as error:
        raise unreadable(folder, file) from error
    order: Any = "big" if file.syntax == BIG else "little"
    tag = b"\x7f\xe0\x00\x10" if file.syntax == BIG else b"\xe0\x7f\x10\x00"
    kind = b"" if file.syntax == IMPLICIT else b"(?:OB|OW|UN)\0\0"
    end = held = 0
    for found in re.finditer(tag + kind, raw):
        start = found.end() + 4
        length = int.from_bytes(raw[found.end() : start], order)
        if end < start + length <= len(raw):  # an icon has the same tag, but ends earlier
            end, held = start + length, length
    if held < needed:
        raise ValueError(
            f"{folder}: {file.name} holds {held} bytes of voxels, its header names {needed};"
            " copy it again"
        )


def _name_corrupt(
    folder: Path, stack: Stack, data: NDArray[np.float32], said: Callable[[], bytes]
) -> None:
    """Decode slice by slice, to find and name the one that libjpeg complained about."""
    for one, plane in zip(stack.slices, data, strict=True):
        _decode(folder, one, plane)
        if _is_corrupt(said()):
            raise unreadable(folder, one.header.file)


def _is_corrupt(said: bytes) -> bool:
    return any(phrase in said for phrase in CORRUPT)
