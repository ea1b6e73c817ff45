"""Voxels of a stack in HU, decoded slice by slice; a truncated or corrupt slice is an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from monai_attn.io.dicom.files import NATIVE
from monai_attn.io.dicom.gdcm import reader_of, unreadable
from monai_attn.io.dicom.slices import Slice, check_length
from monai_attn.io.dicom.stack import Stack
from monai_attn.io.dicom.stderr_capture import captured_stderr
from monai_attn.io.dicom.words import by

WORKERS = 4  # threads that decode slices
CORRUPT = (b"Corrupt JPEG", b"Premature end of JPEG")  # libjpeg warns, but continues


def read_voxels(folder: Path, stack: Stack) -> NDArray[np.float32]:
    """Read HU (X, Y, Z) slice by slice into one array, so that memory holds only the result.

    Raises:
        ValueError: one line that names the folder, if a slice is damaged or memory is too small.
    """
    try:
        data = np.empty(stack.grid.shape[::-1], np.float32)
    except MemoryError as error:
        raise ValueError(
            f"{folder}: {by(stack.grid.shape)} voxels do not fit into memory;"
            " crop or resample it first"
        ) from error
    decode = partial(_decode, folder)
    packed = any(one.header.file.syntax not in NATIVE for one in stack.slices)
    with (
        captured_stderr(packed) as stderr,
        ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool,
    ):
        for _ in pool.map(decode, stack.slices, data):  # the first error ends it
            pass
        if _is_corrupt(stderr()):
            _name_corrupt(folder, stack, data, stderr)
    return data.transpose()


def _decode(folder: Path, one: Slice, plane: NDArray[np.float32]) -> None:
    """Fill (rows, columns) with the HU of one slice."""
    file = one.header.file
    check_length(folder, one)
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


def _name_corrupt(
    folder: Path, stack: Stack, data: NDArray[np.float32], stderr: Callable[[], bytes]
) -> None:
    """Decode slice by slice, to find and name the one that libjpeg warned about."""
    for one, plane in zip(stack.slices, data, strict=True):
        _decode(folder, one, plane)
        if _is_corrupt(stderr()):
            raise unreadable(folder, one.header.file)


def _is_corrupt(text: bytes) -> bool:
    return any(phrase in text for phrase in CORRUPT)
