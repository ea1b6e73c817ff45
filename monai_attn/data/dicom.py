"""One CT series in a folder of DICOM files: where its voxels lie, and their HU.

Space: DICOM gives the position of each slice's first voxel and the directions of its rows and columns
in LPS+ millimetres (PS3.3 C.7.6.2.1.1); the grid leads to RAS+, so x and y change sign. Slices are
sorted along cross(row, column). Their distance is that of their positions: SliceThickness and
SpacingBetweenSlices are often wrong, and count only where there is a single slice.

SimpleITK's own series reader sorts and places slices too, but where one is missing or doubled it
returns a volume that is too short or too long, and where the gantry was tilted a straight one.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
import threading
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its own short name)
from numpy.typing import NDArray

from monai_attn.data.errors import ScanWarning
from monai_attn.data.grid import Grid

PREAMBLE = 132  # bytes: 128 that mean nothing, then "DICM"
META = 2**14  # bytes, more than the file meta information takes
LONG = (b"OB", b"OW", b"UN", b"UT", b"SQ")  # value representations whose length has 4 bytes
WORKERS = 4  # threads that decode slices

UNIT = 1e-3  # how far directions may be from unit length and from a right angle; files round them
ALIKE = 1e-4  # how far directions and pixel spacings of two slices may differ: 0.05 voxel over 512
ROUNDED = 0.06  # mm a slice may stray from even spacing: half of a tenth, where tenths are written
EVEN = 0.01  # of the spacing; the same, where slices are thick
DOUBLED = 0.01  # mm between two slices, below which they lie at one position
STRAIGHT = 1e-3  # tangent between the line of the slices and their normal; a tilted gantry has more
ASIDE = 0.15  # mm a slice may lie beside its line, or the last beside the normal; also of tenths

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED = tuple(f"{CT_IMAGE}.{end}" for end in (1, 2))  # all slices in one file, or several
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # a picture, such as a dose report, or a converted slice
DIRECTORY = "1.2.840.10008.1.3.10"
NO_IMAGE = {  # modality by how the class begins, for what is no image and cannot be asked
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.66.1": "REG",
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.88.": "SR",
    "1.2.840.10008.5.1.4.1.1.11.": "PR",
    "1.2.840.10008.5.1.4.1.1.104.": "DOC",
    DIRECTORY: "DICOMDIR",
}

IMPLICIT, EXPLICIT, BIG = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2"))
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (
    IMPLICIT,
    EXPLICIT,
    BIG,
    DEFLATED,
)  # voxels as they are, so that their bytes can be counted
JPEG = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70, 80, 81, 90, 91))
RLE = "1.2.840.10008.1.2.5"
READABLE = (*NATIVE, *JPEG, RLE)
CORRUPT = (b"Corrupt JPEG", b"Premature end of JPEG")  # said by libjpeg, which goes on all the same

MODALITY, NUMBER_OF_FRAMES = "0008|0060", "0028|0008"
SERIES, INSTANCE = "0020|000e", "0008|0018"
POSITION, ORIENTATION, PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
THICKNESS, BETWEEN = "0018|0050", "0018|0088"
ROWS, COLUMNS, BITS = "0028|0010", "0028|0011", "0028|0100"
SAMPLES, PHOTOMETRIC = "0028|0002", "0028|0004"
SLOPE, INTERCEPT = "0028|1053", "0028|1052"
TAGS = {
    POSITION: "ImagePositionPatient",
    ORIENTATION: "ImageOrientationPatient",
    PIXEL_SPACING: "PixelSpacing",
    ROWS: "Rows",
    COLUMNS: "Columns",
    BITS: "BitsAllocated",
    SLOPE: "RescaleSlope",
    INTERCEPT: "RescaleIntercept",
}
WANTED = (
    *TAGS,
    MODALITY,
    NUMBER_OF_FRAMES,
    SERIES,
    INSTANCE,
    THICKNESS,
    BETWEEN,
    SAMPLES,
    PHOTOMETRIC,
)

CONVERT = "convert to NIfTI first (dcm2niix)"
AGAIN = "export the series again"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

_alone = threading.Lock()  # what ITK shows, and where to, is a matter of the whole process


@dataclass(frozen=True)
class _File:
    """A DICOM file by its first bytes.

    Attributes:
        path: where it is.
        kind: the SOP class UID.
        syntax: the transfer syntax UID.
        start: bytes before the data set.
    """

    path: Path
    kind: str
    syntax: str
    start: int

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class _Header:
    """A file's header: the text of its tags, and the size (columns, rows) of its image."""

    file: _File
    tags: dict[str, str]
    size: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def series(self) -> str:
        return _plain(self.tags.get(SERIES), r"[0-9.]{1,64}")

    @property
    def modality(self) -> str:
        return _plain(self.tags.get(MODALITY), r"[A-Z]{2,8}")


@dataclass(frozen=True)
class _Slice:
    """A slice whose header makes sense: lengths in mm, directions and position in LPS+."""

    header: _Header
    size: tuple[int, int]  # columns, rows
    spacing: tuple[float, float]  # between columns, between rows
    directions: tuple[float, ...]  # of a row, then of a column
    position: tuple[float, ...]

    @property
    def name(self) -> str:
        return self.header.name


@dataclass(frozen=True)
class _Stack:
    """The slices in order, their grid, and how far the gantry was tilted, in degrees."""

    slices: tuple[_Slice, ...]
    grid: Grid
    tilt: float


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its content: "DICM" behind the preamble.

    What is no regular file, or may not be read, is not.
    """
    try:
        return _is_dicom(path)
    except OSError:
        return False


def holds_dicom(folder: Path) -> bool:
    """Whether a file in the folder itself is DICOM; hidden files do not count."""
    try:
        return any(is_dicom(path) for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return False


def series_files(folder: Path, series: str | None = None) -> list[Path]:
    """The files of the one CT series in a folder, in the order of the grid's slices.

    Raises:
        ValueError: as `series_grid`.
    """
    return [slice_.header.file.path for slice_ in _plan(folder, series).slices]


def series_grid(folder: Path, *, series: str | None = None) -> Grid:
    """Where the voxels of a series lie, from the headers alone; no voxel is decoded.

    Args:
        folder: holds the files, one slice in each; other files, hidden ones, other modalities and
            folders in it do not matter.
        series: its SeriesInstanceUID, where there are several.

    Returns:
        The grid (columns, rows, slices). Its affine is sheared where the gantry was tilted.

    Raises:
        ValueError: one line that names the folder, the file at fault if it is one, and the remedy.
    """
    return _plan(folder, series).grid


def read_series(folder: Path, *, series: str | None = None) -> tuple[Grid, NDArray[np.float32]]:
    """The grid of a series and its voxels (X, Y, Z), scaled slice by slice to HU.

    A tilted gantry, and values without a scale, are warned of.

    Args:
        folder: as for `series_grid`.
        series: its SeriesInstanceUID, where there are several.

    Raises:
        ValueError: as `series_grid`, and where a slice cannot be decoded or is cut short.
    """
    stack = _plan(folder, series)
    if stack.tilt:
        warnings.warn(
            f"{folder}: gantry tilt of {stack.tilt:.1f} degrees; resampled to straight axes",
            ScanWarning,
            stacklevel=2,
        )
    if not all({SLOPE, INTERCEPT} <= slice_.header.tags.keys() for slice_ in stack.slices):
        warnings.warn(
            f"{folder}: no rescale slope or intercept; 1 and 0 are taken",
            ScanWarning,
            stacklevel=2,
        )
    return stack.grid, _read_voxels(folder, stack)


# --- what is in the folder


def _is_dicom(path: Path) -> bool:
    return stat.S_ISREG(path.stat().st_mode) and _first(path, PREAMBLE)[128:] == b"DICM"


def _first(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _plan(folder: Path, series: str | None) -> _Stack:
    """From the headers to the order of the slices and their grid."""
    headers = _choose(folder, _read_headers(folder, _list_files(folder)), series)
    slices = [_check_slice(folder, header) for header in headers]
    _check_alike(folder, slices)
    return _pile(folder, slices)


def _list_files(folder: Path) -> list[_File]:
    """The DICOM files of a folder, by name."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no folder; name one that holds the slices of a CT")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot be read ({error.strerror}); make it readable"
        ) from error
    found = []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            if _is_dicom(path):
                found.append(_identify(path))
            elif path.suffix.lower() == ".dcm" and path.is_file():  # it may be the last slice
                raise ValueError(
                    f"{folder}: {path.name} is named DICOM but holds none"
                    f" ({path.stat().st_size} bytes); copy it again or move it away"
                )
        except OSError as error:
            raise ValueError(
                f"{folder}: {path.name} cannot be read ({error.strerror}); make it readable"
                " or move it away"
            ) from error
    for file in found:
        _check_name(folder, file)
    if not found:
        raise ValueError(f"{folder}: no DICOM file in it; name the folder that holds the slices")
    if all(file.kind == DIRECTORY for file in found):
        raise ValueError(
            f"{folder}: only a DICOMDIR, no slices in it; name the folder that holds the slices"
        )
    return found


def _check_name(folder: Path, file: _File) -> None:
    """Refuse a path that is no text: SimpleITK ends the whole process over one."""
    try:
        str(file.path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{folder}: {file.name!a} is a name that is no UTF-8; rename the file or its folder"
        ) from error


def _identify(path: Path) -> _File:
    """SOP class and transfer syntax, from the file meta information: explicit little endian always."""
    raw, at = _first(path, META), PREAMBLE
    found = {}
    while raw[at : at + 2] == b"\x02\x00":
        element, kind = raw[at + 2 : at + 4], raw[at + 4 : at + 6]
        length, value = (at + 8, at + 12) if kind in LONG else (at + 6, at + 8)
        at = value + int.from_bytes(raw[length:value], "little")
        if at <= len(raw):
            found[element] = raw[value:at].rstrip(b"\0 ").decode("ascii", "replace")
    return _File(path, found.get(b"\x02\x00", ""), found.get(b"\x10\x00", ""), at)


def _read_headers(folder: Path, files: Sequence[_File]) -> list[_Header]:
    """The headers of images; of what is none, the modality alone."""
    with _hushed(any(file.syntax not in NATIVE for file in files)) as said:
        return [_read_header(folder, file, said) for file in files]


def _read_header(folder: Path, file: _File, said: Callable[[], bytes]) -> _Header:
    for kind, modality in NO_IMAGE.items():
        if file.kind.startswith(kind):
            return _Header(file, {MODALITY: modality}, ())
    reader = _reader(file)
    try:
        reader.ReadImageInformation()
        if said():  # by a codec, or by another thread
            reader = _reader(file)
            reader.ReadImageInformation()
            if said():
                raise _unreadable(folder, file)
    except RuntimeError as error:
        if file.kind and not file.kind.startswith((CT_IMAGE, CAPTURE)):
            return _Header(file, {}, ())  # no image, or of no CT
        raise _unreadable(folder, file) from error
    tags = {
        tag: reader.GetMetaData(tag).strip(" \0") for tag in WANTED if reader.HasMetaDataKey(tag)
    }
    tags = {tag: text for tag, text in tags.items() if text}
    if not tags.get(MODALITY) and file.kind.startswith(CT_IMAGE):
        tags[MODALITY] = "CT"
    return _Header(file, tags, reader.GetSize())


def _choose(folder: Path, headers: Sequence[_Header], series: str | None) -> list[_Header]:
    """The files of the one CT series, or of the one that is asked for."""
    slices = [header for header in headers if header.modality == "CT" and not _is_picture(header)]
    if not slices:
        others = sorted({_what(header) for header in headers} - {"DICOMDIR"})
        raise ValueError(
            f"{folder}: no CT slices in it, only {', '.join(others)}; "
            "name a folder that holds a CT series"
        )
    counts = Counter(header.series for header in slices)
    listed = ", ".join(f"{uid} ({_count(n)})" for uid, n in sorted(counts.items()))
    if series is None and len(counts) > 1:
        raise ValueError(
            f"{folder}: {len(counts)} CT series, {listed}; choose one with --series UID"
        )
    if series is not None and series not in counts:
        raise ValueError(f"{folder}: no CT series {series} in it; there is {listed}")
    return [header for header in slices if series in (None, header.series)]


def _is_picture(header: _Header) -> bool:
    """Whether it is a screenshot or a report, stored beside the slices as if it were a CT."""
    return header.file.kind.startswith(CAPTURE) and POSITION not in header.tags


def _what(header: _Header) -> str:
    return header.modality + " pictures" * _is_picture(header)


# --- what each slice says


def _check_slice(folder: Path, header: _Header) -> _Slice:
    """Its geometry as numbers, checked."""

    def fault(rule: str, remedy: str = AGAIN) -> ValueError:
        return ValueError(f"{folder}: {header.name} {rule}; {remedy}")

    def numbers(tag: str, count: int) -> tuple[float, ...]:
        if tag not in header.tags:
            raise fault(f"has no {TAGS[tag]}")
        values = _numbers(header.tags[tag])
        if len(values) != count or not np.isfinite(values).all():
            raise fault(f"has a {TAGS[tag]} that is not {count} finite number{'s' * (count > 1)}")
        return values

    frames = _numbers(header.tags.get(NUMBER_OF_FRAMES, "1"))
    if header.file.kind in ENHANCED or frames[0] != 1 or header.size[2:] not in ((), (1,)):
        raise fault("is multi-frame, one slice in each file is expected", CONVERT)
    samples, colours = header.tags.get(SAMPLES, "1"), header.tags.get(PHOTOMETRIC, "MONOCHROME2")
    if (samples, colours) != ("1", "MONOCHROME2"):
        samples, colours = _plain(samples, "[0-9]+"), _plain(colours, "[A-Z_0-9 ]{2,16}")
        raise fault(
            f"is {colours} with {samples} values for each voxel, MONOCHROME2 with 1 is expected",
            CONVERT,
        )
    (rows,), (columns,) = numbers(ROWS, 1), numbers(COLUMNS, 1)
    size = (int(columns), int(rows))
    if size != header.size[:2]:
        raise fault(f"names {_by(size)} voxels and holds {_by(header.size[:2])}")
    between_rows, between_columns = numbers(PIXEL_SPACING, 2)
    if not min(between_rows, between_columns) > 0:
        raise fault(f"has a PixelSpacing of {between_rows:g} x {between_columns:g} mm, above 0"
                    " is expected")  # fmt: skip
    directions = numbers(ORIENTATION, 6)
    row, column = np.reshape(directions, (2, 3))
    lengths = np.linalg.norm((row, column), axis=1)
    if max(*abs(lengths - 1), abs(row @ column)) > UNIT:
        raise fault(
            f"has an ImageOrientationPatient of lengths {lengths[0]:.4g} and {lengths[1]:.4g} with a"
            f" product of {row @ column:.4g}, 1, 1 and 0 are expected"
        )
    for tag in (SLOPE, INTERCEPT):
        if tag in header.tags and (numbers(tag, 1), tag) == ((0.0,), SLOPE):
            raise fault("has a RescaleSlope of 0, which scales every voxel to one value")
    position = numbers(POSITION, 3)
    return _Slice(header, size, (between_columns, between_rows), directions, position)


def _check_alike(folder: Path, slices: Sequence[_Slice]) -> None:
    """Every slice has the size, the pixel spacing and the directions that most slices have."""
    kinds: tuple[tuple[str, Callable[[_Slice], tuple[float, ...]], float], ...] = (
        ("columns and rows", lambda one: one.size, 0),
        ("mm between columns and rows", lambda one: one.spacing, ALIKE * slices[0].spacing[0]),
        ("of ImageOrientationPatient", lambda one: one.directions, ALIKE),
    )
    for what, value, tolerance in kinds:
        usual = Counter(map(value, slices)).most_common(1)[0][0]
        for slice_ in slices:
            if np.abs(np.subtract(value(slice_), usual)).max() > tolerance:
                raise ValueError(
                    f"{folder}: {slice_.name} has {_listed(value(slice_))} {what}, most slices have"
                    f" {_listed(usual)}; move away what does not belong to the scan, or {CONVERT}"
                )


# --- how they lie


def _pile(folder: Path, slices: Sequence[_Slice]) -> _Stack:
    """The slices in order along their normal, and the grid they make."""
    row, column = _directions(slices[0])
    normal = np.cross(row, column)
    slices = sorted(slices, key=lambda one: (float(np.dot(one.position, normal)), one.name))
    positions = np.array([one.position for one in slices])
    if len(slices) == 1:
        step, tilt = normal * _thickness(folder, slices[0]), 0.0
    else:
        _check_single(folder, slices, positions @ normal)
        _check_even(folder, slices, positions @ normal)
        step, tilt = _step(positions, normal)
        _check_line(folder, slices, positions, normal)
    affine = np.eye(4)
    affine[:3, 0] = row * slices[0].spacing[0]
    affine[:3, 1] = column * slices[0].spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    shape = (*slices[0].size, len(slices))
    return _Stack(tuple(slices), Grid(shape, LPS_TO_RAS @ affine, 1, folder), tilt)


def _directions(one: _Slice) -> NDArray[np.float64]:
    """Of a row and of a column, (2, 3): the nearest to the header's, which are rounded, at a right angle."""
    left, _, right = np.linalg.svd(np.reshape(one.directions, (2, 3)), full_matrices=False)
    return left @ right


def _step(
    positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The way from slice to slice in mm, and the tilt of the gantry in degrees.

    Positions are rounded too: what strays from the normal by less than a tilt does counts as straight.
    """
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    along = float(step @ normal)
    aside = float(np.linalg.norm(step - along * normal))
    if aside / along > STRAIGHT and aside * (len(positions) - 1) > ASIDE:
        return step, float(np.degrees(np.arctan(aside / along)))
    return along * normal, 0.0


def _thickness(folder: Path, one: _Slice) -> float:
    """Of a single slice: mm."""
    for tag in (THICKNESS, BETWEEN):
        values = _numbers(one.header.tags.get(tag, ""))
        if len(values) == 1 and 0 < values[0] < np.inf:
            return values[0]
    raise ValueError(
        f"{folder}: one slice, {one.name}, without a thickness; name a folder that holds the whole scan"
    )


def _check_single(folder: Path, slices: Sequence[_Slice], along: NDArray[np.float64]) -> None:
    """No image is there twice, and no two lie at one position."""
    seen: dict[str, _Slice] = {}
    for slice_ in slices:
        uid = slice_.header.tags.get(INSTANCE, slice_.name)
        if uid in seen:
            raise ValueError(
                f"{folder}: {seen[uid].name} and {slice_.name} are one image (one SOPInstanceUID);"
                " delete one of them"
            )
        seen[uid] = slice_
    (pairs,) = np.nonzero(np.diff(along) < DOUBLED)
    if len(pairs):
        at = pairs[0]
        raise ValueError(
            f"{folder}: {slices[at].name} and {slices[at + 1].name} lie at one position"
            f" ({along[at]:.2f} mm, one of {len(pairs)} such pairs); keep one scan in the folder"
        )


def _check_even(folder: Path, slices: Sequence[_Slice], along: NDArray[np.float64]) -> None:
    """No slice is missing, and all are as far apart."""
    gaps = np.diff(along)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # of two gaps, that without a hole
    tolerance = max(ROUNDED, EVEN * usual)
    numbers = np.arange(len(along))
    even = np.polyval(np.polyfit(numbers, along, 1), numbers)
    if np.abs(along - even).max() <= tolerance:
        return
    multiples = np.rint(gaps / usual)
    (holes,) = np.nonzero(multiples > 1)
    if len(holes) and (np.abs(gaps - multiples * usual) <= 2 * tolerance).all():
        at = holes[0]
        missing = int((multiples - 1)[holes].sum())
        raise ValueError(
            f"{folder}: {_count(missing)} missing, {gaps[at]:.2f} mm between {slices[at].name} at"
            f" {along[at]:.2f} mm and {slices[at + 1].name} at {along[at + 1]:.2f} mm where others are"
            f" {usual:.2f} mm apart; copy the whole series again"
        )
    raise ValueError(
        f"{folder}: slices from {gaps.min():.2f} to {gaps.max():.2f} mm apart, even spacing is"
        f" expected; export the series with even spacing, or {CONVERT}"
    )


def _check_line(
    folder: Path,
    slices: Sequence[_Slice],
    positions: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> None:
    """No slice lies beside the line from the first to the last."""
    aside = positions - np.linspace(positions[0], positions[-1], len(positions))
    aside -= np.outer(aside @ normal, normal)
    distances = np.linalg.norm(aside, axis=1)
    if distances.max() > ASIDE:
        raise ValueError(
            f"{folder}: {slices[int(distances.argmax())].name} lies {distances.max():.2f} mm beside the"
            f" line of the slices, at most {ASIDE} is expected; {AGAIN}"
        )


# --- its voxels


def _read_voxels(folder: Path, stack: _Stack) -> NDArray[np.float32]:
    """(X, Y, Z) HU, slice by slice into one array, so that memory holds the result alone."""
    try:
        data = np.empty(stack.grid.shape[::-1], np.float32)
    except MemoryError as error:
        raise ValueError(
            f"{folder}: {_by(stack.grid.shape)} voxels, more than this machine's memory;"
            " crop or resample it first"
        ) from error
    decode = partial(_decode, folder)
    packed = any(one.header.file.syntax not in NATIVE for one in stack.slices)
    with _hushed(packed) as said, ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool:
        for _ in pool.map(decode, stack.slices, data):  # the first error ends it
            pass
        if _is_corrupt(said()):
            _name_corrupt(folder, stack, data, said)
    return data.transpose()


def _decode(folder: Path, one: _Slice, plane: NDArray[np.float32]) -> None:
    """Fill (rows, columns) with the HU of one slice."""
    file = one.header.file
    if file.syntax in NATIVE:
        _check_length(folder, one)
    reader = _reader(file)
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(folder, file) from error
    values = sitk.GetArrayViewFromImage(image)
    if values.size != plane.size:
        raise _unreadable(folder, file)
    plane[:] = values.reshape(plane.shape)


def _check_length(folder: Path, one: _Slice) -> None:
    """Refuse voxels cut short, which GDCM fills up with what lies in memory.

    A file cut short is seen by GDCM; this is one that was written so.
    """
    file = one.header.file
    try:
        raw = file.path.read_bytes()
        if file.syntax == DEFLATED:
            raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw[file.start :])
    except (OSError, zlib.error) as error:
        raise _unreadable(folder, file) from error
    bits = _numbers(one.header.tags.get(BITS, "16"))[0]
    needed = int(np.prod(one.size) * bits / 8)
    order: Any = "big" if file.syntax == BIG else "little"
    tag = b"\x7f\xe0\x00\x10" if file.syntax == BIG else b"\xe0\x7f\x10\x00"
    kind = b"" if file.syntax == IMPLICIT else b"(?:OB|OW|UN)\0\0"
    end = held = 0
    for found in re.finditer(tag + kind, raw):
        start = found.end() + 4
        length = int.from_bytes(raw[found.end() : start], order)
        if end < start + length <= len(raw):  # an icon has the same tag, and ends before
            end, held = start + length, length
    if held < needed:
        raise ValueError(
            f"{folder}: {file.name} holds {held} bytes of voxels, its header names {needed};"
            " copy it again"
        )


def _name_corrupt(
    folder: Path, stack: _Stack, data: NDArray[np.float32], said: Callable[[], bytes]
) -> None:
    """Decode slice by slice, to find the one that libjpeg complained about."""
    for one, plane in zip(stack.slices, data, strict=True):
        _decode(folder, one, plane)
        if _is_corrupt(said()):
            raise _unreadable(folder, one.header.file)


def _is_corrupt(said: bytes) -> bool:
    return any(phrase in said for phrase in CORRUPT)


def _reader(file: _File) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file.path))
    return reader


def _unreadable(folder: Path, file: _File) -> ValueError:
    if not file.path.is_file():
        return ValueError(f"{folder}: {file.name} is gone; leave the folder alone while it is read")
    if file.syntax and file.syntax not in READABLE:
        syntax = _plain(file.syntax, r"[0-9.]{1,64}")
        return ValueError(
            f"{folder}: {file.name} is stored in transfer syntax {syntax}, which cannot be decoded;"
            f" {CONVERT}"
        )
    return ValueError(f"{folder}: {file.name} is cut short or damaged; copy it again")


@contextmanager
def _hushed(packed: bool) -> Iterator[Callable[[], bytes]]:
    """Keep ITK, and where slices are packed their codecs, off the process's stderr.

    Both write there by themselves. Yields a function that returns what was said since its last call. In
    the end all of it is passed on, for it is another thread's, unless there was an error.
    """
    with _alone:
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            if packed:
                with _stderr_held() as said:
                    yield said
            else:
                yield bytes
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


@contextmanager
def _stderr_held() -> Iterator[Callable[[], bytes]]:
    """Let the process's stderr lead to a file for a while."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # a process without one
        yield bytes
        return
    with tempfile.TemporaryFile() as file:
        taken = 0

        def said() -> bytes:
            nonlocal taken
            file.seek(taken)
            text = file.read()
            taken += len(text)
            return text

        try:
            os.dup2(file.fileno(), 2)
            yield said
            file.seek(0)
            rest = file.read()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        if rest:
            os.write(2, rest)


# --- words and numbers


def _numbers(text: str) -> tuple[float, ...]:
    """The numbers of a tag; NaN for what is none."""

    def number(part: str) -> float:
        try:
            return float(part)
        except ValueError:
            return float("nan")

    return tuple(number(part) for part in text.split("\\"))


def _plain(text: str | None, pattern: str) -> str:
    """The text if it has the form of a code, else "unknown": a tag may hold a patient's name."""
    return text if text and re.fullmatch(pattern, text) else "unknown"


def _by(values: Sequence[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _listed(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _count(slices: int) -> str:
    return "1 slice" if slices == 1 else f"{slices} slices"
