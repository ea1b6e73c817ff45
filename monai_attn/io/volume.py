"""Reader of all scans: a NIfTI file or a DICOM series, checked before any other use.

Space: voxel (i, j, k) lies at `affine @ (i, j, k, 1)` millimetres in RAS+ patient space. A faulty scan is
refused, a doubtful one gives a warning, and nothing is repaired silently.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.errors import ScanWarning
from monai_attn.io.file_kind import require_regular
from monai_attn.io.files import sha256_of
from monai_attn.io.grid import Grid
from monai_attn.io.names import check_name
from monai_attn.io.nifti.header import NiftiHeader
from monai_attn.io.nifti.voxels import nifti_files, nifti_header, read_voxels

AIR = -1024.0  # HU, given to a voxel without a finite value
MOST_HOLES = 0.05  # fraction of voxels that may lack a finite value; more are a fault of the export


@dataclass(frozen=True)
class Volume(Grid):
    """A scan in memory: its grid and its voxels.

    Attributes:
        data: (X, Y, Z) float32, scaled by the header's slope and intercept: HU for CT.
    """

    data: NDArray[np.float32]

    @property
    def grid(self) -> Grid:
        """Grid of the scan, without a reference to its voxels."""
        return Grid(**{part.name: getattr(self, part.name) for part in fields(Grid)})


def read_volume(
    path: str | Path,
    *,
    fill: float | None = AIR,
    volume: int | None = None,
    series: str | None = None,
) -> Volume:
    """Read one 3D volume and check all that a segmentation relies on.

    Values become float32, in which whole numbers are exact up to 2**24. A doubt is a `ScanWarning` that
    names the file.

    Args:
        path: a NIfTI file (.nii, .nii.gz, or .hdr and .img), NIfTI-1 or NIfTI-2, or a folder with one
            DICOM series.
        fill: value for voxels that are NaN or infinite, set with a warning; None keeps them.
        volume: index of the volume in a file that holds several, from 0.
        series: the SeriesInstanceUID, if a DICOM folder holds several series.

    Raises:
        ValueError: one line that names the file, the rule, what was received and the remedy.
    """
    path = Path(path)
    if path.is_dir():
        _refuse(path, volume, "volume", "a DICOM series")
        from monai_attn.io.dicom.series import read_series  # SimpleITK: late, as most are NIfTI

        grid, data = read_series(path, series=series)
        return Volume(**vars(grid), data=data)
    header = _header(path, volume, series)
    data, holes = read_voxels(path, header, volume or 0, fill)
    for doubt in (*header.doubts, *check_holes(path, holes, data.size, fill)):
        warnings.warn(f"{path}: {doubt}", ScanWarning, stacklevel=2)
    return Volume(**vars(header.grid), data=data)


def read_grid(path: str | Path, *, volume: int | None = None, series: str | None = None) -> Grid:
    """Read the grid of a scan, from its headers only, without the voxels.

    Raises:
        ValueError: as `read_volume`, for faults of the headers.
    """
    path = Path(path)
    if path.is_dir():
        _refuse(path, volume, "volume", "a DICOM series")
        from monai_attn.io.dicom.series import series_grid

        return series_grid(path, series=series)
    return _header(path, volume, series).grid


def scan_files(path: str | Path, *, series: str | None = None) -> list[Path]:
    """List the files of a scan: one, a pair, or those of a series in the order of its slices.

    Raises:
        ValueError: if the file or the series does not exist.
    """
    path = Path(path)
    if path.is_dir():
        from monai_attn.io.dicom.series import series_files

        return series_files(path, series)
    check_name(path)
    files = sorted(set(nifti_files(path)))
    for file in files:
        require_regular(file)
    return files


def scan_sha256(path: str | Path, *, series: str | None = None) -> str:
    """Return the SHA-256 of the files of a scan.

    Raises:
        ValueError: as `scan_files`.
    """
    return sha256_of(*scan_files(path, series=series))


def _header(path: Path, volume: int | None, series: str | None) -> NiftiHeader:
    """Read the header of a NIfTI scan, and check that it has the one volume that is asked for."""
    check_name(path)
    require_regular(path)
    _refuse(path, series, "series", "a NIfTI file")
    header = nifti_header(path)
    last = header.volumes - 1
    if volume is None and last > 0:
        raise ValueError(
            f"{path}: 4 dimensions, {(*header.grid.shape, header.volumes)}; one volume expected: "
            f"pick one with --volume N, N from 0 to {last}, or extract it"
        )
    if volume is not None and not 0 <= volume <= last:
        raise ValueError(
            f"{path}: has no volume {volume}; --volume N with N from 0 to {last} expected"
        )
    return header


def _refuse(path: Path, option: object, name: str, kind: str) -> None:
    if option is not None:
        raise ValueError(f"{path}: {kind}, which has no {name} to choose; leave out --{name}")


def check_holes(path: Path, holes: int, voxels: int, fill: float | None) -> list[str]:
    """Refuse many voxels without a finite value, and return a doubt about a few that were filled."""
    if holes == voxels or (fill is not None and holes > MOST_HOLES * voxels):
        raise ValueError(
            f"{path}: {holes} of {voxels} voxels are NaN or infinite; at most {MOST_HOLES:.0%} "
            "expected: export it again"
        )
    if fill is None or not holes:
        return []
    return [f"{holes} voxel{' is' if holes == 1 else 's are'} NaN or infinite; taken as {fill:g}"]
