"""A NIfTI header, every field of it checked that voxels or their place depend on.

Nothing is repaired in silence: nibabel takes an unknown form code for 0, a spacing of 0 mm for 1, and
turns a negative one round. The affine is by its rules: the sform where its code is above 0, else the
qform, else the spacing alone.
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

from monai_attn.data.affine import check_affine, spaced
from monai_attn.data.errors import reason
from monai_attn.data.file_kind import foreign_kind
from monai_attn.data.grid import Grid, grid_offset

AGAIN = "export it again with a sound header"
# how a file begins: the size of its header, which tells the format and the byte order
KINDS = {
    size.to_bytes(4, order): (kind, "<" if order == "little" else ">")
    for kind, size in ((nib.Nifti1Header, 348), (nib.Nifti2Header, 540))
    for order in ("little", "big")
}
LINE_ENDS = ((13, 10, 26, 10), (0, 0, 0, 0))  # what NIfTI-2 ends its magic with, or leaves out
MOST_VOXELS = 2**31  # of one volume: 8 GiB in float32
MOST_EXTENSIONS = 2**26  # bytes between header and voxels
UNITS = {1: "metres", 3: "micrometres"}  # xyzt_units, where it is not mm (2) or unknown (0)
APART = (
    0.5  # of the smallest voxel edge, by which sform and qform may differ: quaternions are coarse
)
STRETCH = 0.01  # by which their spacings may


@dataclass(frozen=True)
class NiftiHeader:
    """What a header says, checked.

    Attributes:
        grid: where the voxels of a volume lie.
        volumes: how many volumes there are.
        dtype: of a stored voxel, with its byte order.
        slope: what a stored voxel is multiplied by.
        intercept: what is added then.
        offset: bytes before the first voxel, in the file that holds the voxels.
        doubts: what is doubtful, one phrase each.
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
        """Bytes of one volume, as stored."""
        return math.prod(self.grid.shape) * self.dtype.itemsize


@np.errstate(all="ignore")  # of absurd numbers a line below speaks, and numpy need not
def read_header(path: Path, stream: BinaryIO) -> NiftiHeader:
    """Read and check a header; the stream then stands behind it and its extensions.

    Args:
        path: the file it comes from, which ends in .hdr where the voxels lie in another.
        stream: its bytes, from the first.

    Raises:
        ValueError: one line that names the file, the rule, what was received and the remedy.
    """
    header = _parse(path, stream)
    shape, volumes, trailing = _shape(path, header)
    dtype = _dtype(path, header)
    slope, intercept = _scaling(path, header)
    unit = UNITS.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise ValueError(f"{path}: its unit of length is {unit}; mm expected: convert it")
    affine, code, qform, doubts = _place(path, header)
    check_affine(path, affine)
    grid = Grid(shape, affine, code, path, trailing=trailing, qform=qform)
    offset = _skip_extensions(path, header, stream)
    return NiftiHeader(grid, volumes, dtype, slope, intercept, offset, tuple(doubts))


def _parse(path: Path, stream: BinaryIO) -> nib.Nifti1Header:
    """The fields as they stand in the file, of a header of the right kind."""
    head = stream.read(4)
    kind, order = KINDS.get(head, (None, ""))
    if kind is None:
        fault = foreign_kind(head + stream.read(256)) or "of no known kind; convert it"
        raise ValueError(f"{path}: not a NIfTI file, {fault}")
    head += stream.read(kind.sizeof_hdr - 4)
    if len(head) < kind.sizeof_hdr:
        raise ValueError(
            f"{path}: not a NIfTI file, {len(head)} bytes of a header of {kind.sizeof_hdr}; "
            "copy it again"
        )
    header = kind(head, endianness=order, check=False)
    magic, pair = header["magic"].item(), path.name.lower().endswith(".hdr")
    expected = kind.pair_magic if pair else kind.single_magic
    if magic != expected:
        other = {kind.pair_magic: "of a pair", kind.single_magic: "of a single file"}
        fault = other.get(magic, "of Analyze 7.5, which has no affine, or of nothing known")
        raise ValueError(
            f"{path}: its magic bytes are those {fault}; those of a "
            f"{'pair' if pair else 'single file'} expected: convert it to .nii.gz"
        )
    if kind is nib.Nifti2Header and tuple(header["eol_check"]) not in LINE_ENDS:
        raise ValueError(
            f"{path}: its line ends were changed, as of a text; copy it again, as binary"
        )
    return header


def _shape(path: Path, header: nib.Nifti1Header) -> tuple[tuple[int, ...], int, int]:
    """The shape (X, Y, Z), how many such volumes there are, and axes of one voxel behind them."""
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise ValueError(f"{path}: {count} dimensions; 1 to 7 are possible: {AGAIN}")
    shape = tuple(int(n) for n in header["dim"][1 : count + 1])
    if min(shape) < 1:
        raise ValueError(f"{path}: no voxels, its shape is {shape}; {AGAIN}")
    if count < 3:
        raise ValueError(
            f"{path}: {count} dimensions {shape}; one 3D volume expected: stack slices"
        )
    if any(n > 1 for n in shape[4:]):
        raise ValueError(
            f"{path}: {count} dimensions {shape}, several numbers for a voxel; "
            "one volume expected: extract it first"
        )
    if math.prod(shape[:3]) > MOST_VOXELS:
        raise ValueError(
            f"{path}: {math.prod(shape[:3])} voxels; at most {MOST_VOXELS} expected: "
            "crop or resample it first"
        )
    volumes = math.prod(shape[3:])
    return shape[:3], volumes, 0 if volumes > 1 else count - 3


def _dtype(path: Path, header: nib.Nifti1Header) -> np.dtype[Any]:
    code, bits = int(header["datatype"]), int(header["bitpix"])
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise ValueError(f"{path}: voxels of an unknown type, code {code}; {AGAIN}") from error
    if dtype.kind not in "biuf":
        raise ValueError(
            f"{path}: voxels of type {nib.nifti1.data_type_codes.label[code]}; "
            "one real number for each voxel expected: convert it"
        )
    if bits != 8 * dtype.itemsize:
        raise ValueError(
            f"{path}: voxels of type {dtype.name} in {bits} bits; {8 * dtype.itemsize} expected: {AGAIN}"
        )
    return dtype


def _scaling(path: Path, header: nib.Nifti1Header) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN means that there is none."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise ValueError(
            f"{path}: slope {slope} and intercept {intercept}; finite expected: {AGAIN}"
        )
    return slope, intercept


def _place(
    path: Path, header: nib.Nifti1Header
) -> tuple[NDArray[np.float64], int, NDArray[np.float64] | None, list[str]]:
    """The affine, its code, a qform that leads elsewhere, and what is doubtful about them."""
    codes = int(header["sform_code"]), int(header["qform_code"])
    if not all(code in nib.nifti1.xform_codes for code in codes):
        raise ValueError(f"{path}: sform and qform codes {codes}; NIfTI's are 0 to 5: {AGAIN}")
    if codes[0] == 0:
        spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)
        if not spacing.min() > 0:
            raise ValueError(
                f"{path}: spacing {spaced(spacing)} mm and no sform; above 0 expected: {AGAIN}"
            )
        if codes[1] == 0:
            affine = np.asarray(header.get_base_affine(), dtype=np.float64)
            return affine, 0, None, ["neither sform nor qform; which side is left is a guess"]
        try:
            return _qform(header), codes[1], None, []
        except (HeaderDataError, ValueError) as error:
            raise ValueError(
                f"{path}: its qform is no rotation ({reason(error)}) and there is no sform; {AGAIN}"
            ) from error
    affine = np.asarray(header.get_sform(), dtype=np.float64)
    if codes[1] == 0:
        return affine, codes[0], None, []
    check_affine(path, affine)
    try:
        qform = _qform(header)
    except (HeaderDataError, ValueError):
        return affine, codes[0], None, ["its qform is no rotation; the sform was taken"]
    return affine, codes[0], *_other_form(path, header, affine, qform)


def _other_form(
    path: Path,
    header: nib.Nifti1Header,
    affine: NDArray[np.float64],
    qform: NDArray[np.float64],
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """The qform beside the sform, where it leads elsewhere, and what is doubtful about that."""
    shape, sizes = header.get_data_shape()[:3], voxel_sizes(affine)
    if aff2axcodes(affine) != aff2axcodes(qform) or not np.allclose(
        voxel_sizes(qform), sizes, rtol=STRETCH, atol=0
    ):
        raise ValueError(
            f"{path}: sform {spaced(sizes)} mm {''.join(aff2axcodes(affine))} and qform "
            f"{spaced(voxel_sizes(qform))} mm {''.join(aff2axcodes(qform))} are not of one scan; "
            "keep the one that is right"
        )
    apart = grid_offset(shape, affine, qform)
    if not apart > APART * sizes.min():
        return None, []
    return qform, [f"its qform is up to {apart:.3g} mm away from its sform, which was taken"]


def _qform(header: nib.Nifti1Header) -> NDArray[np.float64]:
    """The qform. A qfac of 0 stands for 1, as the format has it."""
    header = header.copy()
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1
    return np.asarray(header.get_qform(), dtype=np.float64)


def _skip_extensions(path: Path, header: nib.Nifti1Header, stream: BinaryIO) -> int:
    """Bytes before the first voxel, in the file that holds the voxels."""
    offset = float(header["vox_offset"])
    first = 0 if path.name.lower().endswith(".hdr") else header.single_vox_offset
    if not (first <= offset <= first + MOST_EXTENSIONS and offset == int(offset)):
        raise ValueError(
            f"{path}: voxels at byte {offset:g}; {first} or some more expected: {AGAIN}"
        )
    if first:
        flag, chain = stream.read(4), stream.read(int(offset) - first)
        if flag[:1] not in (b"", b"\0") and not _is_chain(chain, header.endianness):
            raise ValueError(f"{path}: its header extensions end behind the first voxel; {AGAIN}")
    return int(offset)


def _is_chain(extensions: bytes, order: str) -> bool:
    """Whether extensions follow one another up to the voxels, but for zeros."""
    end, start = len(extensions.rstrip(b"\0")), 0
    while start < end:
        size = int.from_bytes(
            extensions[start : start + 4], "little" if order == "<" else "big", signed=True
        )
        if not 8 <= size <= len(extensions) - start:
            return False
        start += size
    return True
