"""Writer of label maps and other maps, on the grid of their scan, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.affines import voxel_sizes
from numpy.typing import DTypeLike, NDArray

from monai_attn.io.files import atomic_write
from monai_attn.io.grid import APART, Grid, grid_offset
from monai_attn.io.map_encoding import INTERCEPT, SLOPE
from monai_attn.io.names import labels_name
from monai_attn.io.probability_encoding import SLOPE as PROBABILITY_SLOPE
from monai_attn.io.probability_encoding import StoredProbabilities

LARGEST_LABEL = 2**16 - 1  # uint16


def write_labels(
    path: str | Path, labels: NDArray[Any], like: Grid, *, dtype: DTypeLike | None = None
) -> Path:
    """Write a label map (X, Y, Z) on the grid of the scan it was made from.

    The file appears whole or not at all. It has the scan's shape, with axes of one voxel after the third if
    the scan has them, and its sform and qform place voxels where the scan's do.

    Args:
        path: where to, ending in .nii.gz or .nii.
        labels: (X, Y, Z) whole numbers from 0 to 65535.
        like: the scan's grid.
        dtype: type to store; uint8 by default, uint16 where a label is above 255.

    Raises:
        ValueError: if the shape is not the scan's, a value is no whole number or too large for the type,
            or `path` is the scan itself.
    """
    path = Path(path)
    labels_name(path)
    if labels.shape != like.shape:
        raise ValueError(
            f"{path}: labels do not fit the grid of {like.path} (got shape {labels.shape},"
            f" expected {like.shape}); nothing was written"
        )
    low, high = labels.min(initial=0), labels.max(initial=0)
    if not (0 <= low <= high <= LARGEST_LABEL) or (
        labels.dtype.kind == "f" and (labels != np.rint(labels)).any()
    ):
        raise ValueError(
            f"{path}: not labels (got values from {low} to {high} of type {labels.dtype}, expected whole"
            f" numbers from 0 to {LARGEST_LABEL}); nothing was written"
        )
    stored = np.dtype(dtype or (np.uint8 if high <= 255 else np.uint16))
    if stored.kind in "iu" and high > np.iinfo(stored).max:
        raise ValueError(f"{path}: label {high} does not fit {stored}; choose a larger type")
    return _write(path, labels.astype(stored, copy=False), like)


def write_map(path: str | Path, stored: NDArray[np.uint8], like: Grid) -> Path:
    """Write a map (X, Y, Z) of fractions on the grid of the scan it was made from, as bytes.

    Args:
        path: where to, ending in .nii.gz or .nii.
        stored: (X, Y, Z) bytes, see `monai_attn.io.map_encoding`.
        like: the scan's grid.

    Raises:
        ValueError: if `path` is the scan itself.
    """
    path = Path(path)
    labels_name(path)
    return _write(path, stored, like, (SLOPE, INTERCEPT))


def write_image(
    path: str | Path, values: NDArray[np.floating], like: Grid, *, description: str = ""
) -> Path:
    """Write an image (X, Y, Z) on a grid: 16-bit integers if they hold all its values, else float32.

    Args:
        path: where to, ending in .nii.gz or .nii.
        values: (X, Y, Z) intensities.
        like: the grid.
        description: text for the header, at most 79 characters.

    Raises:
        ValueError: if `path` is the file of the grid itself.
    """
    path = Path(path)
    labels_name(path)
    limits = np.iinfo(np.int16)
    # min and max are NaN if any value is, and then they are no 16-bit integers
    whole = limits.min <= values.min() and values.max() <= limits.max
    whole = whole and bool((values == np.rint(values)).all())
    stored = values.astype(np.int16 if whole else np.float32, copy=False)
    header = label_image(stored, like).header
    header["descrip"] = description.encode()
    return _write_layers(path, header, np.moveaxis(stored, -1, 0), like, (1.0, 0.0))


def write_probabilities(path: str | Path, stored: StoredProbabilities, like: Grid) -> Path:
    """Write probabilities on the grid of the scan they were made from, one volume after the other.

    Args:
        path: where to, ending in .nii.gz or .nii.
        stored: the probabilities; the file has four dimensions, (X, Y, Z, channels).
        like: the scan's grid.

    Raises:
        ValueError: if `path` is the scan itself.
    """
    path = Path(path)
    labels_name(path)
    header = label_image(stored.steps[..., 0], like).header
    header.set_data_shape((*like.shape, stored.channels))
    layers = (
        stored.layer(channel, z) for channel in range(stored.channels) for z in range(like.shape[2])
    )
    return _write_layers(path, header, layers, like, (PROBABILITY_SLOPE, 0.0))


def _write(
    path: Path, values: NDArray[Any], like: Grid, scale: tuple[float, float] = (1.0, 0.0)
) -> Path:
    """Write values as they are, with slope and intercept in the header."""
    return _write_layers(path, _header(values, like), np.moveaxis(values, -1, 0), like, scale)


def _write_layers(
    path: Path,
    header: nib.Nifti1Header,
    layers: Iterable[NDArray[Any]],
    like: Grid,
    scale: tuple[float, float],
) -> Path:
    """Write layers (X, Y), one after the other, with slope and intercept in the header."""
    if path.exists() and like.path.exists() and path.samefile(like.path):
        raise ValueError(f"{path}: is the scan itself; choose another output")
    header.set_data_offset(header.single_vox_offset)
    header["scl_slope"], header["scl_inter"] = scale
    with (
        atomic_write(path) as file,
        # neither name nor time in the gzip header: the same labels make the same file
        igzip.IGzipFile("", "wb", fileobj=file, mtime=0)
        if path.name.lower().endswith(".gz")
        else nullcontext(file) as out,
    ):
        header.write_to(out)
        for layer in layers:  # x fastest, as NIfTI wants it
            out.write(layer.tobytes(order="F"))
    return path


def label_image(values: NDArray[Any], like: Grid) -> nib.Nifti1Image:
    """Return values (X, Y, Z) as an image with the scan's sform and qform, for programs that use either."""
    kind = nib.Nifti1Image if max(like.shape) <= np.iinfo(np.int16).max else nib.Nifti2Image
    image = kind(values, like.affine)
    code = like.form_code
    image.set_sform(like.affine if code else None, code=code)
    image.set_qform(like.affine if code else None, code=code)
    apart = grid_offset(like.shape, image.get_qform(), like.affine)
    if code and apart > APART * voxel_sizes(like.affine).min():
        image.set_qform(None, code=0)  # a qform cannot hold a shear: only the sform is right
    if like.qform is not None:
        image.set_qform(like.qform, code=1)
    image.header.set_xyzt_units("mm")
    return image


def _header(values: NDArray[Any], like: Grid) -> nib.Nifti1Header:
    header = label_image(values, like).header
    header.set_data_shape((*like.shape, *(1,) * like.trailing))
    return header
