"""Scans on disk: a file or a DICOM series, whose headers are read once.

Space: voxel (i, j, k) lies at `affine @ (i, j, k, 1)` millimetres in RAS+ patient space. A faulty scan is
refused, a doubtful one gives a warning, and nothing is repaired silently.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.dicom.series_path import folder_of
from monai_attn.io.errors import OptionError, ScanWarning
from monai_attn.io.file_kind import require_regular
from monai_attn.io.files import sha256_of
from monai_attn.io.grid import Grid, rounded_axes
from monai_attn.io.names import ARCHIVE, OTHERS, check_name, suffix
from monai_attn.io.nifti.header import NiftiHeader
from monai_attn.io.nifti.voxels import nifti_files, nifti_header, read_voxels
from monai_attn.io.volume import Volume

if TYPE_CHECKING:
    from monai_attn.io.dicom.stack import Stack

AIR = -1024.0  # HU, given to a voxel without a finite value
MOST_HOLES = 0.05  # fraction of voxels that may lack a finite value; more are a fault of the export


class Scan(ABC):
    """A scan on disk. Headers and checksum are read when first needed, and kept; voxels are not kept.

    Attributes:
        path: the file, or the folder of the DICOM series.

    Example:
        >>> scan = open_scan("scan.nii.gz")  # doctest: +SKIP
        >>> scan.grid.shape, scan.sha256[:8]  # doctest: +SKIP
        ((512, 512, 80), '5fd924f0')
        >>> scan.read().data.mean()  # doctest: +SKIP
        -523.1
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._given: set[str] = set()  # the warnings given so far

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """Grid of the scan, from its headers only.

        Raises:
            ValueError: one line that names the file, the rule, the value received and the remedy.
        """

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """Files of the scan: one, a pair, or those of a series in the order of its slices.

        Raises:
            ValueError: as for `grid`.
        """

    @property
    def channels(self) -> tuple[Scan, ...]:
        """The scans of its channels: itself, unless it has several."""
        return (self,)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the files, one after the other, as hexadecimal digits."""
        return sha256_of(*self.files)

    def read(self, *, fill: float | None = AIR, stacklevel: int = 1) -> Volume:
        """Read the voxels and check all that a segmentation relies on.

        Values become float32, in which whole numbers are exact up to 2**24. A doubt is a `ScanWarning` that
        names the file; a scan that is read again does not repeat it.

        Args:
            fill: value for voxels that are NaN or infinite, set with a warning; None keeps them.
            stacklevel: frame that warnings name, as for `warnings.warn`.

        Raises:
            ValueError: as for `grid`, and if the voxels are damaged or cut short.
        """
        data, doubts = self._read(fill)
        for doubt in filter(None, (*doubts, rounded_axes(self.grid))):
            if doubt not in self._given:
                warnings.warn(f"{self.path}: {doubt}", ScanWarning, stacklevel=stacklevel + 1)
                self._given.add(doubt)
        return Volume(**vars(self.grid), data=data)

    @abstractmethod
    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Read the voxels (X, Y, Z), and return them with the doubts about the scan."""


class NiftiScan(Scan):
    """One volume of a NIfTI file or pair."""

    def __init__(self, path: Path, volume: int | None) -> None:
        super().__init__(path)
        self._volume = volume
        self._files = tuple(sorted(set(nifti_files(path))))
        for file in self._files:
            require_regular(file)

    @cached_property
    def _header(self) -> NiftiHeader:
        """Read the header, and check that the file has the one volume that is asked for."""
        header = nifti_header(self.path)
        last = header.volumes - 1
        if self._volume is None and last > 0:
            raise OptionError(
                f"{self.path}: 4 dimensions, {(*header.grid.shape, header.volumes)}; one volume "
                "expected. Choose one with ",
                "volume",
                "N",
                f", N from 0 to {last}, or extract it.",
            )
        if self._volume is not None and not 0 <= self._volume <= last:
            raise OptionError(
                f"{self.path}: no volume {self._volume} (expected 0 to {last}). Choose another ",
                "volume",
            )
        return header

    @property
    def grid(self) -> Grid:
        """Grid of the volume."""
        return self._header.grid

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, or the pair."""
        return self._files

    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        data, holes = read_voxels(self.path, self._header, self._volume or 0, fill)
        return data, (*self._header.doubts, *check_holes(self.path, holes, data.size, fill))


class DicomScan(Scan):
    """One CT series in a folder of DICOM files.

    Args:
        path: the folder; or FOLDER/UID, the series with that SeriesInstanceUID in it.
        series: the SeriesInstanceUID, if the folder is given and holds several.
    """

    def __init__(self, path: Path, series: str | None) -> None:
        super().__init__(path)
        self.folder, own = folder_of(path)
        if own and series not in (None, own):
            raise ValueError(f"{path}: not series {series}. Give the folder, or another series.")
        self._series = own or series

    @cached_property
    def _stack(self) -> Stack:
        from monai_attn.io.dicom.series import stack_series  # SimpleITK: late, as most are NIfTI

        return stack_series(self.folder, self._series)

    @property
    def grid(self) -> Grid:
        """Grid (columns, rows, slices); its affine is sheared if the gantry was tilted."""
        return self._stack.grid

    @property
    def files(self) -> tuple[Path, ...]:
        """The slices, in the order of the grid."""
        return tuple(slice_.header.file.path for slice_ in self._stack.slices)

    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        from monai_attn.io.dicom.voxels import read_voxels

        return read_voxels(self.folder, self._stack), self._stack.doubts


class VolumeScan(Scan):
    """A volume in memory; its checksum is that of affine and voxels."""

    def __init__(self, volume: Volume) -> None:
        super().__init__(volume.path)
        self._volume = volume

    @property
    def grid(self) -> Grid:
        """Grid of the volume."""
        return self._volume.grid

    @property
    def files(self) -> tuple[Path, ...]:
        """No file."""
        return ()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of affine and voxels, as hexadecimal digits."""
        digest = sha256(self._volume.affine.tobytes())
        digest.update(np.ascontiguousarray(self._volume.data.T).data)
        return digest.hexdigest()

    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        return self._volume.data, ()  # checked when it was made


def open_scan(path: str | Path, *, volume: int | None = None, series: str | None = None) -> Scan:
    """Open a scan: check its path, and read its headers and voxels when they are asked for.

    Args:
        path: a NIfTI file (.nii, .nii.gz, or .hdr and .img), NIfTI-1 or NIfTI-2, a file in NRRD, MetaImage
            or MGZ, a folder with one DICOM series, or a ZIP archive of such a folder or file.
        volume: index of the volume in a file that holds several, from 0.
        series: the SeriesInstanceUID, if a DICOM folder holds several series.

    Raises:
        ValueError: one line that names the file, if it is missing or no scan, or has nothing to choose.
    """
    path = Path(path)
    if folder_of(path)[0].is_dir():
        _refuse(path, volume, "volume", "a DICOM series")
        return DicomScan(path, series)
    check_name(path)
    require_regular(path)
    if suffix(path, (ARCHIVE,)):
        from monai_attn.io.formats.archive import ArchiveScan

        return ArchiveScan(path, volume, series)
    end = suffix(path, OTHERS).lower()
    _refuse(path, series, "series", "one file, and no DICOM series" if end else "a NIfTI file")
    if not end:
        return _labels_without_position(path, volume) or NiftiScan(path, volume)
    _refuse(path, volume, "volume", f"a file in {end}")
    return _other_format(path, end)


def _labels_without_position(path: Path, volume: int | None) -> Scan | None:
    """Open a label map of Pancreas-CT next to its patient's DICOM series; None for any other file."""
    if not path.name.lower().startswith("label"):
        return None
    from monai_attn.io.formats.pancreas_ct import PancreasCtLabels, patient_of

    patient = patient_of(path)
    return PancreasCtLabels(path, volume, patient) if patient else None


def _other_format(path: Path, end: str) -> Scan:
    """Open a file in a format other than NIfTI; its reader is imported only then."""
    if end == ".nrrd":
        from monai_attn.io.formats.nrrd import NrrdScan

        return NrrdScan(path)
    if end in (".mha", ".mhd"):
        from monai_attn.io.formats.metaimage import MetaImageScan

        return MetaImageScan(path)
    from monai_attn.io.formats.mgh import MghScan

    return MghScan(path)


def read_volume(
    path: str | Path,
    *,
    fill: float | None = AIR,
    volume: int | None = None,
    series: str | None = None,
) -> Volume:
    """Read a scan once: `Scan.read` of the scan that `open_scan` opens, with their arguments."""
    return open_scan(path, volume=volume, series=series).read(fill=fill, stacklevel=2)


def read_grid(path: str | Path, *, volume: int | None = None, series: str | None = None) -> Grid:
    """Read only the headers: `Scan.grid` of the scan that `open_scan` opens, with its arguments."""
    return open_scan(path, volume=volume, series=series).grid


def _refuse(path: Path, option: object, name: str, kind: str) -> None:
    if option is not None:
        raise OptionError(f"{path}: is {kind}, which has no {name} to choose. Leave out ", name)


def check_holes(path: Path, holes: int, voxels: int, fill: float | None) -> list[str]:
    """Refuse many voxels without a finite value, and return a doubt about a few that were filled.

    Raises:
        ValueError: one line that names the file, if too many voxels have no finite value.
    """
    if holes == voxels or (fill is not None and holes > MOST_HOLES * voxels):
        raise ValueError(
            f"{path}: {holes} of {voxels} voxels are NaN or infinite (expected at most {MOST_HOLES:.0%}); "
            "export it again"
        )
    if fill is None or not holes:
        return []
    return [f"{holes} voxel{' is' if holes == 1 else 's are'} NaN or infinite; set to {fill:g}"]
