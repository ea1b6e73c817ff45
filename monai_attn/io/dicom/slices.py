"""Geometry of a slice, from its header, checked by itself and against the other slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_attn.io.dicom.files import NATIVE
from monai_attn.io.dicom.headers import ENHANCED, Header
from monai_attn.io.dicom.words import AGAIN, CONVERT, by, numbers_of, plain

UNIT = 1e-3  # tolerance of unit length and of right angles; files round directions
ALIKE = 1e-4  # tolerance between slices, of directions and pixel spacings: 0.05 voxel over 512


@dataclass(frozen=True)
class Slice:
    """A slice with a checked header: lengths in mm, directions and position in LPS+."""

    header: Header
    size: tuple[int, int]  # columns, rows
    spacing: tuple[float, float]  # between columns, between rows
    directions: tuple[float, ...]  # of a row, then of a column
    position: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.header.name


def check_slice(folder: Path, header: Header) -> Slice:
    """Check the geometry in a header, and return it as numbers.

    Raises:
        ValueError: one line that names the folder and the slice.
    """

    def fault(rule: str, remedy: str = AGAIN) -> ValueError:
        return ValueError(f"{folder}: {header.name} {rule}; {remedy}")

    def numbers(tag: str, count: int) -> tuple[float, ...]:
        if tag not in header.tags:
            raise fault(f"has no {tag}")
        values = numbers_of(header.tags[tag])
        if len(values) != count or not np.isfinite(values).all():
            raise fault(f"has a {tag} that is not {count} finite number{'s' * (count > 1)}")
        return values

    frames = numbers_of(header.tags.get("NumberOfFrames", "1"))
    if header.file.kind in ENHANCED or frames[0] != 1 or header.packed_size[2:] not in ((), (1,)):
        raise fault("is multi-frame (expected one slice per file)", CONVERT)
    samples, colours = (
        header.tags.get("SamplesPerPixel", "1"),
        header.tags.get("PhotometricInterpretation", "MONOCHROME2"),
    )
    if (samples, colours) != ("1", "MONOCHROME2"):
        samples, colours = plain(samples, "[0-9]+"), plain(colours, "[A-Z_0-9 ]{2,16}")
        raise fault(
            f"is {colours} with {samples} values per voxel (expected MONOCHROME2 with 1)",
            CONVERT,
        )
    (rows,), (columns,) = numbers("Rows", 1), numbers("Columns", 1)
    size = (int(columns), int(rows))
    if header.packed_size and size != header.packed_size[:2]:
        raise fault(f"has {by(header.packed_size[:2])} voxels (expected {by(size)} by its header)")
    between_rows, between_columns = numbers("PixelSpacing", 2)
    if not min(between_rows, between_columns) > 0:
        spacing = by((between_rows, between_columns))
        raise fault(f"has a PixelSpacing of {spacing} mm (expected above 0)")
    directions = numbers("ImageOrientationPatient", 6)
    row, column = np.reshape(directions, (2, 3))
    lengths = np.linalg.norm((row, column), axis=1)
    if max(*abs(lengths - 1), abs(row @ column)) > UNIT:
        raise fault(
            f"has an ImageOrientationPatient of lengths {lengths[0]:.4g} and {lengths[1]:.4g} with a"
            f" product of {row @ column:.4g} (expected 1, 1 and 0)"
        )
    for tag in ("RescaleSlope", "RescaleIntercept"):
        if tag in header.tags and (numbers(tag, 1), tag) == ((0.0,), "RescaleSlope"):
            raise fault("has a RescaleSlope of 0, which scales every voxel to one value")
    position = numbers("ImagePositionPatient", 3)
    return Slice(header, size, (between_columns, between_rows), directions, position)


def check_length(folder: Path, one: Slice) -> None:
    """Refuse a slice with too few voxels, which GDCM would fill up with arbitrary memory.

    GDCM itself detects a file that ends early, and compressed voxels that do; this one was written with too
    few.
    """
    if one.header.file.syntax not in NATIVE:
        return
    bits = numbers_of(one.header.tags.get("BitsAllocated", "16"))[0]
    needed = int(np.prod(one.size) * bits / 8)
    if one.header.voxel_bytes < needed:
        raise ValueError(
            f"{folder}: {one.name} has too few voxels (got {one.header.voxel_bytes} bytes, expected"
            f" {needed}); copy it again"
        )


def check_alike(folder: Path, slices: Sequence[Slice]) -> None:
    """Check that every slice has the size, pixel spacing and directions that most slices have.

    Raises:
        ValueError: one line that names the folder and the first slice that differs.
    """
    kinds: tuple[tuple[str, Callable[[Slice], tuple[float, ...]], float], ...] = (
        ("columns and rows", lambda one: one.size, 0),
        ("mm between columns and rows", lambda one: one.spacing, ALIKE * slices[0].spacing[0]),
        ("of ImageOrientationPatient", lambda one: one.directions, ALIKE),
    )
    for quantity, value, tolerance in kinds:
        usual = Counter(map(value, slices)).most_common(1)[0][0]
        for slice_ in slices:
            if np.abs(np.subtract(value(slice_), usual)).max() > tolerance:
                raise ValueError(
                    f"{folder}: {slice_.name} has {_listed(value(slice_))} {quantity}, most slices have"
                    f" {_listed(usual)}; remove files that do not belong to the scan, or {CONVERT}"
                )


def _listed(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
