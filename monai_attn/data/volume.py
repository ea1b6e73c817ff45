"""One NIfTI volume: read it, check it, write labels onto its grid.

Space: voxel (i, j, k) lies at `affine @ (i, j, k, 1)` millimetres in RAS+ patient space, by
nibabel's rules: the sform where its code is above 0, else the qform, else the header's spacing
alone. A file is read to its end, so that gzip's checksum is compared, and nothing in the header is
repaired in silence.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib  # gzip's interface and its checksum, in a third of the time
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import DTypeLike, NDArray

from monai_attn.data.errors import reason
from monai_attn.data.files import written_whole
from monai_attn.data.grid import Grid, same_grid

AIR = -1024.0  # HU; what a voxel without a value becomes
SINGULAR = 1e-6  # a voxel's volume over the product of its edges, below which they lie in a plane
SUFFIXES = (".nii.gz", ".nii")
LARGEST_LABEL = 2**16 - 1  # uint16
CHUNK = 2**22  # bytes decoded at a time: what is stored never lies in memory as a whole
NIFTI_2 = (b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # how a NIfTI-2 file begins, in either byte order
DEFLATE = 1032  # no gzip stream holds more bytes than this for each of its own


@dataclass(frozen=True)
class Volume(Grid):
    """A scan in memory: its grid and its voxels.

    Attributes:
        data: (X, Y, Z) float32, scaled by the header's slope and intercept: HU for CT.
    """

    data: NDArray[np.float32]

    @property
    def grid(self) -> Grid:
        """Where the voxels lie, without holding on to them."""
        return Grid(self.shape, self.affine, self.form_code, self.path)


def case_name(path: str | Path) -> str:
    """The file's name without folder and NIfTI suffix.

    Raises:
        ValueError: if the name does not end in .nii or .nii.gz.
    """
    name = Path(path).name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    raise ValueError(f"{path}: a NIfTI file (.nii.gz or .nii) is expected; convert it first")


def read_volume(path: str | Path, *, fill: float | None = AIR) -> Volume:
    """Read one 3D volume and check what a segmentation relies on.

    Trailing axes of one voxel are dropped. Values become float32, in which whole numbers are exact
    up to 2**24.

    Args:
        path: a .nii or .nii.gz file, NIfTI-1 or NIfTI-2.
        fill: what voxels that are NaN or infinite become, with a warning; None keeps them.

    Raises:
        ValueError: one line that names the file, the rule, what was received and the remedy.
    """
    path = Path(path)
    with _open(path) as stream:
        header, shape = _read_header(path, stream)
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        _check_affine(path, affine)
        data, broken = _read_voxels(path, stream, header, shape, fill)
    if broken == data.size:
        raise ValueError(f"{path}: no voxel has a finite value; export it again")
    if broken and fill is not None:
        voxels = "1 voxel is" if broken == 1 else f"{broken} voxels are"
        warnings.warn(f"{path}: {voxels} NaN or infinite; taken as {fill:g}", stacklevel=2)
    sform_code, qform_code = _form_codes(header)
    if not (sform_code or qform_code):
        warnings.warn(
            f"{path}: neither sform nor qform; which side is left is a guess", stacklevel=2
        )
    return Volume(shape, affine, sform_code or qform_code, path, data)


def read_grid(path: str | Path) -> Grid:
    """Where the voxels of a file lie, from its header alone; the voxels are not read.

    Raises:
        ValueError: as `read_volume`, for what the header shows.
    """
    path = Path(path)
    with _open(path) as stream:
        header, shape = _read_header(path, stream)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    _check_affine(path, affine)
    return Grid(shape, affine, max(_form_codes(header)), path)


def write_labels(path: str | Path, labels: NDArray[np.integer], like: Grid) -> Path:
    """Write a label map (X, Y, Z) on the grid of the scan it was made from.

    The file appears whole or not at all: it is written beside its target and then renamed. Its type
    is uint8, or uint16 where a label is above 255.

    Raises:
        ValueError: if the shape is not the scan's, or the target is the scan itself.
    """
    path = Path(path)
    case_name(path)
    if labels.shape != like.shape:
        raise ValueError(
            f"{path}: labels of shape {labels.shape} do not lie on the grid of {like.path}"
            f" with shape {like.shape}; nothing was written"
        )
    return save_nifti(path, labels, like.affine, scan=like.path, form_code=like.form_code)


def save_nifti(
    path: str | Path,
    labels: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    scan: Path | None = None,
    form_code: int = 1,
    dtype: DTypeLike | None = None,
) -> Path:
    """Write labels (X, Y, Z) with an affine, atomically.

    Args:
        path: where to, ending in .nii.gz or .nii.
        labels: whole numbers from 0 to 65535.
        affine: (4, 4), voxel to RAS+ mm.
        scan: the file the labels were made from, which is never written over.
        form_code: the code of sform and qform; 0 leaves both out, as the scan did.
        dtype: type to store; uint8 by default, uint16 where a label is above 255.

    Raises:
        ValueError: if a value is no whole number, or too large for the type, or `path` is the scan.
    """
    path = Path(path)
    if scan is not None and path.exists() and scan.exists() and path.samefile(scan):
        raise ValueError(f"{path}: is the scan itself; choose another output")
    low, high = labels.min(initial=0), labels.max(initial=0)
    if not (0 <= low <= high <= LARGEST_LABEL) or (
        labels.dtype.kind == "f" and (labels != np.rint(labels)).any()
    ):
        raise ValueError(
            f"{path}: values from {low} to {high} of type {labels.dtype}; labels are whole numbers"
            f" from 0 to {LARGEST_LABEL}; nothing was written"
        )
    stored = np.dtype(dtype or (np.uint8 if high <= 255 else np.uint16))
    if stored.kind in "iu" and high > np.iinfo(stored).max:
        raise ValueError(f"{path}: label {high} does not fit {stored}; choose a larger type")
    return _write(path, labels.astype(stored, copy=False), affine, form_code)


def write_map(
    path: str | Path, stored: NDArray[np.uint8], like: Grid, *, slope: float, intercept: float
) -> Path:
    """Write a map (X, Y, Z) of fractions on the grid of the scan it was made from, as bytes.

    Args:
        path: where to, ending in .nii.gz or .nii.
        stored: (X, Y, Z) bytes.
        like: the scan's grid.
        slope: what a byte is multiplied by, for the reader.
        intercept: what is added then.
    """
    path = Path(path)
    return _write(path, stored, like.affine, like.form_code, (slope, intercept))


def _write(
    path: Path,
    values: NDArray[Any],
    affine: NDArray[np.float64],
    form_code: int,
    scale: tuple[float, float] = (1.0, 0.0),
) -> Path:
    """Write values as they are, with a scale for the reader, whole or not at all."""
    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine if form_code else None, code=form_code)
    image.set_qform(affine if form_code else None, code=form_code)
    if form_code and not same_grid(values.shape, image.get_qform(), affine):
        image.set_qform(None, code=0)  # a qform cannot hold a shear: the sform alone is true
    header = image.header
    header.set_xyzt_units("mm")
    header.set_data_offset(header.single_vox_offset)
    header["scl_slope"], header["scl_inter"] = scale
    packed = path.name.lower().endswith(".gz")
    with (
        written_whole(path) as part,
        part.open("wb") as file,
        # neither name nor time in the gzip header: the same labels make the same file
        igzip.IGzipFile("", "wb", fileobj=file, mtime=0) if packed else nullcontext(file) as out,
    ):
        header.write_to(out)
        for layer in np.moveaxis(values, -1, 0):  # x fastest, as NIfTI wants it
            out.write(layer.tobytes(order="F"))
    return path


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where they are packed, whatever its name says.

    A stream that ends early or is damaged becomes one line that names the file.
    """
    case_name(path)
    if not path.is_file():
        fault = "is not a regular file" if path.exists() else "does not exist"
        raise ValueError(f"{path}: {fault}; name a NIfTI file")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield igzip.open(file) if packed else file
    except (OSError, EOFError, zlib.error, isal_zlib.error) as error:  # type: ignore[misc]
        raise ValueError(
            f"{path}: cannot be read to its end ({reason(error)}); copy it again"
        ) from error


def _read_header(path: Path, stream: BinaryIO) -> tuple[nib.Nifti1Header, tuple[int, ...]]:
    """The header, checked, and the shape; the stream then stands at the first voxel."""
    raw = stream.read(max(kind.sizeof_hdr for kind in (nib.Nifti1Header, nib.Nifti2Header)))
    kind = nib.Nifti2Header if raw[:4] in NIFTI_2 else nib.Nifti1Header
    raw = raw[: kind.sizeof_hdr]
    try:
        header = kind(raw)
        dtype, shape = header.get_data_dtype(), header.get_data_shape()
        header.get_slope_inter()
    except (HeaderDataError, WrapStructError, ValueError) as error:
        raise ValueError(
            f"{path}: not a NIfTI file ({reason(error)}); convert or export it again"
        ) from error
    _check_forms(path, kind(raw, check=False))
    if dtype.kind not in "biuf":
        raise ValueError(
            f"{path}: voxels of type {dtype}; one number for each voxel is expected: convert it"
        )
    if len(_spatial(shape)) != 3:
        raise ValueError(
            f"{path}: {len(shape)} dimensions {shape}; one 3D volume is expected: extract it first"
        )
    if min(shape) < 1:
        raise ValueError(f"{path}: no voxels, its shape is {shape}; export it again")
    return header, _spatial(shape)


def _read_voxels(
    path: Path,
    stream: BinaryIO,
    header: nib.Nifti1Header,
    shape: tuple[int, ...],
    fill: float | None,
) -> tuple[NDArray[np.float32], int]:
    """The scaled voxels, filled where they have no finite value, and how many have none.

    Chunk by chunk, so that memory holds the result alone; to the stream's end, so that its checksum is
    compared.
    """
    dtype, offset = header.get_data_dtype(), header.get_data_offset()
    needed = offset + math.prod(shape) * dtype.itemsize
    held = path.stat().st_size * (DEFLATE if isinstance(stream, igzip.IGzipFile) else 1)
    slope, intercept = header.get_slope_inter()
    scaled = slope is not None and (slope, intercept) != (1, 0)
    stream.seek(0)
    if held < needed:  # before memory is claimed for what the header promises
        _require(path, _drain(stream), needed)
    done = len(stream.read(offset))
    try:
        data = np.empty(math.prod(shape), np.float32)
    except MemoryError as error:
        raise ValueError(
            f"{path}: {needed} bytes, more than this machine's memory; crop or resample it first"
        ) from error
    broken, filled = 0, 0
    while filled < data.size:
        raw = stream.read(min(CHUNK, (data.size - filled) * dtype.itemsize))
        if not raw or len(raw) % dtype.itemsize:
            _require(path, done + len(raw), needed)
        values = np.frombuffer(raw, dtype)
        if scaled:
            values = values * np.float64(slope) + intercept
        part = data[filled : filled + len(values)]
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            part[:] = values
        if scaled or dtype.kind == "f":
            holes = ~np.isfinite(part)
            broken += int(np.count_nonzero(holes))
            if fill is not None:
                part[holes] = fill
        filled += len(values)
        done += len(raw)
    _drain(stream)
    return data.reshape(shape, order="F"), broken


def _drain(stream: BinaryIO) -> int:
    """Read to the end; how many bytes there were."""
    count = 0
    while raw := stream.read(CHUNK):
        count += len(raw)
    return count


def _require(path: Path, held: int, needed: int) -> None:
    if held < needed:
        raise ValueError(
            f"{path}: holds {held} bytes of the {needed} that its header names; copy it again"
        )


def _spatial(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without trailing axes of one voxel beyond the third."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Refuse an affine that places no volume."""
    if not np.isfinite(affine).all():
        raise ValueError(
            f"{path}: the affine is not finite, {affine[:3].tolist()}; "
            "export it again with a sound header"
        )
    volume, edges = abs(np.linalg.det(affine[:3, :3])), np.prod(voxel_sizes(affine))
    if not volume > SINGULAR * edges:  # an edge of length 0 makes both 0
        raise ValueError(
            f"{path}: the affine is singular, {affine[:3].tolist()}; "
            "export it again with a sound header"
        )


def _check_forms(path: Path, header: nib.Nifti1Header) -> None:
    """Refuse what nibabel repairs as it loads: unknown codes to 0, a spacing of 0 mm to 1."""
    codes, spacing = _form_codes(header), header["pixdim"][1:4]
    if not all(code in nib.nifti1.xform_codes for code in codes):
        raise ValueError(
            f"{path}: sform and qform codes {codes}; NIfTI's are 0 to 5; "
            "export it again with a sound header"
        )
    if codes[0] == 0 and not np.abs(spacing).min() > 0:
        raise ValueError(
            f"{path}: spacing {spacing.tolist()} mm and no sform; above 0 is expected; "
            "export it again with a sound header"
        )


def _form_codes(header: nib.Nifti1Header) -> tuple[int, int]:
    return int(header["sform_code"]), int(header["qform_code"])
