"""Images of other libraries as volumes: nibabel, SimpleITK, ITK, MONAI, or an array with its affine."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from monai_attn.io.affine import check_affine
from monai_attn.io.errors import ScanWarning
from monai_attn.io.grid import Grid
from monai_attn.io.nifti.header import read_place
from monai_attn.io.scan import AIR, check_holes
from monai_attn.io.volume import Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SPACES = {  # as MONAI's readers name them, and the matrix of each to RAS+
    "RAS": np.eye(4),
    "right-anterior-superior": np.eye(4),
    "LPS": LPS_TO_RAS,
    "left-posterior-superior": LPS_TO_RAS,
}


def as_volume(image: Any, name: str = "", *, fill: float | None = AIR) -> Volume:
    """Take an image in memory as a volume on the same grid, with the checks that a file would meet.

    Args:
        image: one of
            - a `Volume`, which is returned as it is;
            - a nibabel image, whose header is checked if it is NIfTI;
            - a MONAI `MetaTensor` (X, Y, Z) or (1, X, Y, Z), with an affine to RAS+ mm, or to LPS+ mm if its
              `meta["space"]` says so;
            - a SimpleITK or ITK image, whose geometry is in LPS+ mm;
            - a pair of an array or tensor (X, Y, Z), whose masked voxels count as NaN, and an affine (4, 4),
              voxel to RAS+ mm.
        name: name of the scan in messages and files; by default that of the image's file, or `scan`.
        fill: value for voxels that are NaN or infinite, set with a warning; None keeps them.

    Raises:
        TypeError: if it is none of these.
        ValueError: one line that names the scan, if it is not one 3D volume, its place is not sound, or too
            many voxels lack a finite value.

    Example:
        >>> as_volume((np.zeros((4, 4, 3)), np.diag([1.0, 1.0, 2.5, 1.0])), "a").shape
        (4, 4, 3)
    """
    if isinstance(image, Volume):
        return image
    module = type(image).__module__.partition(".")[0]
    if isinstance(image, SpatialImage):
        data, affine, file = _array(image.dataobj), image.affine, image.get_filename()
    elif module == "SimpleITK":
        data, affine, file = *_from_simpleitk(image), ""
    elif module == "itk":
        data, affine, file = *_from_itk(image), ""
    elif hasattr(image, "affine") and hasattr(image, "meta"):  # a MetaTensor, without torch
        data, affine = _array(image), _array(image.affine)
        file = image.meta.get("filename_or_obj", "")
        data = data[0] if data.ndim == 4 and len(data) == 1 else data
    elif isinstance(image, tuple) and len(image) == 2:
        data, affine, file = _array(image[0]), _array(image[1]), ""
    else:
        raise TypeError(
            f"image of type {type(image).__name__}: a path, a nibabel, SimpleITK or ITK image, a MetaTensor, "
            "or a pair of array and affine expected"
        )
    path = Path(name or file or "scan")
    data, trailing = _volume_of(path, data)
    grid = _place(path, image, np.asarray(affine, dtype=np.float64))
    return _filled(data, replace(grid, shape=data.shape, trailing=trailing), fill)


def _array(values: Any) -> NDArray[Any]:
    """Return an array, or a tensor of torch, as an array; masked voxels become NaN."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    values = np.asanyarray(values)
    if isinstance(values, np.ma.MaskedArray):
        return np.where(values.mask, np.nan, values.data) if values.mask.any() else values.data
    return np.asarray(values)


def _place(path: Path, image: Any, affine: NDArray[np.float64]) -> Grid:
    """Return the grid of an image, as yet without a shape, after the checks of its header."""
    if isinstance(image, nib.Nifti1Pair):
        # as nibabel would save it: an affine that was changed since is in the header too
        saved = type(image)(image.dataobj, image.affine, image.header)
        affine, code, qform, doubts = read_place(path, saved.header)
        for doubt in doubts:
            warnings.warn(f"{path}: {doubt}", ScanWarning, stacklevel=3)
        return Grid((), affine, code, path, qform=qform)
    if isinstance(image, nib.AnalyzeImage):
        raise ValueError(f"{path}: an image of Analyze 7.5, which has no affine; convert it")
    space = str(getattr(image, "meta", {}).get("space") or "RAS")  # of a MetaTensor's affine
    if space not in SPACES:
        raise ValueError(f"{path}: an affine to {space} (expected RAS or LPS); pass one to RAS+ mm")
    if affine.shape != (4, 4):
        raise ValueError(
            f"{path}: an affine of shape {affine.shape}; (4, 4) expected: pass the matrix from voxel "
            "indices to RAS+ mm"
        )
    affine = SPACES[space] @ affine
    check_affine(path, affine)
    return Grid((), affine, 1, path)


def _volume_of(path: Path, data: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the one volume (X, Y, Z) of an array, and the number of further axes of one voxel."""
    trailing = 0
    while data.ndim > 3 and data.shape[-1] == 1:
        data, trailing = data[..., 0], trailing + 1
    if data.ndim != 3 or 0 in data.shape or data.dtype.kind not in "iubf":
        raise ValueError(
            f"{path}: an array of shape {data.shape} and type {data.dtype}; numbers of shape (X, Y, Z) "
            "expected: pass one volume"
        )
    return data, trailing


def _filled(data: NDArray[Any], grid: Grid, fill: float | None) -> Volume:
    """Return a volume with a value for each voxel that has none."""
    with np.errstate(over="ignore"):  # beyond float32: a hole
        values = data.astype(np.float32)  # a copy: the caller's array stays as it is
    holes = ~np.isfinite(values)
    for warning in check_holes(grid.path, int(holes.sum()), values.size, fill):
        warnings.warn(f"{grid.path}: {warning}", ScanWarning, stacklevel=3)
    if fill is not None:
        values[holes] = fill
    return Volume(**vars(grid), data=values)


def _from_simpleitk(image: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    import SimpleITK as sitk

    data = sitk.GetArrayFromImage(image)  # (Z, Y, X), with the components of a vector last
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        return data, np.eye(4)  # refused by its shape
    direction = np.reshape(image.GetDirection(), (3, 3))
    return data.T, _affine(direction, image.GetSpacing(), image.GetOrigin())


def _from_itk(image: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    import itk

    data = itk.array_from_image(image)
    if image.GetImageDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        return data, np.eye(4)
    direction = itk.array_from_matrix(image.GetDirection())
    return data.T, _affine(direction, image.GetSpacing(), image.GetOrigin())


def _affine(direction: NDArray[np.float64], spacing: Any, origin: Any) -> NDArray[np.float64]:
    """Return the affine to RAS+ mm of ITK's geometry, which is in LPS+ mm."""
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(list(spacing))
    affine[:3, 3] = list(origin)
    return LPS_TO_RAS @ affine
