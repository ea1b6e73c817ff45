"""A NIfTI header, with a check of every field on which the voxels or their positions depend.

Nothing is repaired silently, whereas nibabel reads an unknown form code as 0, a spacing of 0 mm as 1, and a
negative one as positive. The affine follows nibabel's rules: the sform if its code is above 0, else the
qform, else only the spacing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from monai_attn.io.affine import check_affine, spaced
from monai_attn.io.errors import reason
from monai_attn.io.file_kind import foreign_kind
from monai_attn.io.grid import APART, Grid, grid_offset

AGAIN = "export it again with a valid header"
# the first bytes of a file: the size of its header, which shows the format and the byte order
KINDS = {
    size.to_bytes(4, order): (kind, "<" if order == "little" else ">")
    for kind, size in ((nib.Nifti1Header, 348), (nib.Nifti2Header, 540))
    for order in ("little", "big")
}
LINE_ENDS = ((13, 10, 26, 10), (0, 0, 0, 0))  # NIfTI-2's eol_check, which may be missing
MOST_VOXELS = 2**31  # of one volume: 8 GiB in float32
MOST_EXTENSIONS = 2**26  # bytes between header and voxels
UNITS = {1: "metres", 3: "micrometres"}  # xyzt_units other than mm (2) and unknown (0)
STRETCH = 0.01  # fraction by which their spacings may differ


@dataclass(frozen=True)
class NiftiHeader:
    """Checked content of a NIfTI header.

    Attributes:
        grid: the grid of each volume.
        volumes: the number of volumes.
        dtype: type of a stored voxel, with its byte order.
        slope: factor for stored voxels.
        intercept: offset that is added after the factor.
        offset: bytes before the first voxel, in the file that holds the voxels.
        doubts: doubts about the header, one phrase each.
    """

    grid: Grid
    volumes: int
    dtype: np.dtype[Any]
    slope: float
    intercept: float
    offset: int
    doubts: tuple[str, ...]

    @property
    def volume_bytes(self) -> int:
        """Stored size of one volume in bytes."""
        return math.prod(self.grid.shape) * self.dtype.itemsize


@np.errstate(all="ignore")  # absurd numbers are errors below; NumPy need not warn
def read_header(path: Path, stream: BinaryIO) -> NiftiHeader:
    """Read and check a header, and leave the stream at the end of it and its extensions.

    Args:
        path: the file of the header, which ends in .hdr if the voxels are in another file.
        stream: its bytes, from the first.

    Raises:
        ValueError: one line that names the file, the rule, what was received and the remedy.
    """
    header = _parse(path, stream)
    shape, volumes, trailing = _shape(path, header)
    dtype = _dtype(path, header)
    slope, intercept = _scaling(path, header)
    affine, code, qform, doubts = read_place(path, header)
    grid = Grid(shape, affine, code, path, trailing=trailing, qform=qform)
    offset = _skip_extensions(path, header, stream)
    return NiftiHeader(grid, volumes, dtype, slope, intercept, offset, tuple(doubts))


def _parse(path: Path, stream: BinaryIO) -> nib.Nifti1Header:
    """Parse a header without repairs, and refuse one of another kind."""
    head = stream.read(4)
    kind, order = KINDS.get(head, (None, ""))
    if kind is None:
        fault = foreign_kind(head + stream.read(256)) or "a file of unknown kind; convert it"
        raise ValueError(f"{path}: not a NIfTI file but {fault}")
    head += stream.read(kind.sizeof_hdr - 4)
    if len(head) < kind.sizeof_hdr:
        raise ValueError(
            f"{path}: the header is cut short (got {len(head)} bytes, expected {kind.sizeof_hdr}); "
            "copy it again"
        )
    header = kind(head, endianness=order, check=False)
    magic, pair = header["magic"].item(), path.name.lower().endswith(".hdr")
    expected = kind.pair_magic if pair else kind.single_magic
    if magic != expected:
        other = {kind.pair_magic: "those of a pair", kind.single_magic: "those of a single file"}
        fault = other.get(magic, "unknown, or those of Analyze 7.5, which has no affine")
        raise ValueError(
            f"{path}: the magic bytes are {fault} (expected those of a "
            f"{'pair' if pair else 'single file'}); convert it to .nii.gz"
        )
    if kind is nib.Nifti2Header and tuple(header["eol_check"]) not in LINE_ENDS:
        raise ValueError(
            f"{path}: line ends were changed, as by a transfer in text mode; copy it again in binary mode"
        )
    return header


def _shape(path: Path, header: nib.Nifti1Header) -> tuple[tuple[int, ...], int, int]:
    """Return the shape (X, Y, Z), the number of volumes, and the number of further axes of one voxel."""
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise ValueError(f"{path}: {count} dimensions (expected 1 to 7); {AGAIN}")
    shape = tuple(int(n) for n in header["dim"][1 : count + 1])
    if min(shape) < 1:
        raise ValueError(f"{path}: no voxels in a shape of {shape}; {AGAIN}")
    if count < 3:
        raise ValueError(
            f"{path}: {count} dimensions {shape} (expected one 3D volume); stack the slices first"
        )
    if any(n > 1 for n in shape[4:]):
        raise ValueError(
            f"{path}: {count} dimensions {shape}, several numbers per voxel (expected one volume); "
            "extract one first"
        )
    if math.prod(shape[:3]) > MOST_VOXELS:
        raise ValueError(
            f"{path}: {math.prod(shape[:3])} voxels (limit {MOST_VOXELS}); "
            "crop or resample it first"
        )
    volumes = math.prod(shape[3:])
    return shape[:3], volumes, 0 if volumes > 1 else count - 3


def _dtype(path: Path, header: nib.Nifti1Header) -> np.dtype[Any]:
    code, bits = int(header["datatype"]), int(header["bitpix"])
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise ValueError(f"{path}: unknown voxel type (code {code}); {AGAIN}") from error
    if dtype.kind not in "biuf":
        raise ValueError(
            f"{path}: voxel type {nib.nifti1.data_type_codes.label[code]} "
            "(expected one real number per voxel); convert it"
        )
    if bits != 8 * dtype.itemsize:
        raise ValueError(
            f"{path}: voxel type {dtype.name} in {bits} bits (expected {8 * dtype.itemsize}); {AGAIN}"
        )
    return dtype


def _scaling(path: Path, header: nib.Nifti1Header) -> tuple[float, float]:
    """Return slope and intercept: 1 and 0 if the slope is 0 or NaN, which means no scaling."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise ValueError(
            f"{path}: slope {slope} and intercept {intercept} (expected finite numbers); {AGAIN}"
        )
    return slope, intercept


@np.errstate(all="ignore")
def read_place(
    path: Path, header: nib.Nifti1Header
) -> tuple[NDArray[np.float64], int, NDArray[np.float64] | None, list[str]]:
    """Return where a header places its voxels: affine, its code, the qform if it differs, and doubts.

    Raises:
        ValueError: one line that names the file, if the place is not known for certain or not in mm.
    """
    unit = UNITS.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise ValueError(f"{path}: the unit of length is {unit} (expected mm); convert it")
    affine, code, qform, doubts = _place(path, header)
    check_affine(path, affine)
    return affine, code, qform, doubts


def _place(
    path: Path, header: nib.Nifti1Header
) -> tuple[NDArray[np.float64], int, NDArray[np.float64] | None, list[str]]:
    codes = int(header["sform_code"]), int(header["qform_code"])
    if not all(code in nib.nifti1.xform_codes for code in codes):
        raise ValueError(f"{path}: sform and qform codes {codes} (expected 0 to 5); {AGAIN}")
    if codes[0] == 0:
        spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)
        if not spacing.min() > 0:
            raise ValueError(
                f"{path}: spacing {spaced(spacing)} mm and no sform (expected above 0); {AGAIN}"
            )
        if codes[1] == 0:
            affine = np.asarray(header.get_base_affine(), dtype=np.float64)
            return (
                affine,
                0,
                None,
                [f"neither sform nor qform; left and right are a guess; {AGAIN}"],
            )
        try:
            return _qform(header), codes[1], None, []
        except (HeaderDataError, ValueError) as error:
            raise ValueError(
                f"{path}: the qform is not a rotation ({reason(error)}) and there is no sform; {AGAIN}"
            ) from error
    affine = np.asarray(header.get_sform(), dtype=np.float64)
    if codes[1] == 0:
        return affine, codes[0], None, []
    check_affine(path, affine)
    try:
        qform = _qform(header)
    except (HeaderDataError, ValueError):
        qform = np.full((4, 4), np.nan)
    if not np.isfinite(qform).all():
        return affine, codes[0], None, ["the qform is not a rotation; the sform is used"]
    return affine, codes[0], *_other_form(path, header, affine, qform)


def _other_form(
    path: Path,
    header: nib.Nifti1Header,
    affine: NDArray[np.float64],
    qform: NDArray[np.float64],
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Return the qform if it differs from the sform, else None, and doubts about it."""
    shape, sizes = header.get_data_shape()[:3], voxel_sizes(affine)
    if aff2axcodes(affine) != aff2axcodes(qform) or not np.allclose(
        voxel_sizes(qform), sizes, rtol=STRETCH, atol=0
    ):
        raise ValueError(
            f"{path}: sform {spaced(sizes)} mm {''.join(aff2axcodes(affine))} and qform "
            f"{spaced(voxel_sizes(qform))} mm {''.join(aff2axcodes(qform))} contradict each other; "
            "keep the correct one"
        )
    apart = grid_offset(shape, affine, qform)
    if not apart > APART * sizes.min():
        return None, []
    return qform, [f"the qform is up to {apart:.3g} mm away from the sform, which is used"]


def _qform(header: nib.Nifti1Header) -> NDArray[np.float64]:
    """Return the qform; the format defines a qfac of 0 as 1."""
    header = header.copy()
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1
    return np.asarray(header.get_qform(), dtype=np.float64)


def _skip_extensions(path: Path, header: nib.Nifti1Header, stream: BinaryIO) -> int:
    """Skip the extensions, and return the bytes before the first voxel in the file with the voxels."""
    offset = float(header["vox_offset"])
    first = 0 if path.name.lower().endswith(".hdr") else header.single_vox_offset
    if not (first <= offset <= first + MOST_EXTENSIONS and offset == int(offset)):
        raise ValueError(
            f"{path}: the first voxel is at byte {offset:g} (expected {first} or slightly more); {AGAIN}"
        )
    if first:
        flag, chain = stream.read(4), stream.read(int(offset) - first)
        if flag[:1] not in (b"", b"\0") and not _is_chain(chain, header.endianness):
            raise ValueError(f"{path}: header extensions reach past the first voxel; {AGAIN}")
    return int(offset)


def _is_chain(extensions: bytes, order: str) -> bool:
    """Check that extensions follow one another up to the voxels, except for zeros at the end."""
    end, start = len(extensions.rstrip(b"\0")), 0
    while start < end:
        size = int.from_bytes(
            extensions[start : start + 4], "little" if order == "<" else "big", signed=True
        )
        if not 8 <= size <= len(extensions) - start:
            return False
        start += size
    return True
