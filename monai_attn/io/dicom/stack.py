"""Stacking of slices: their order, the check of their even spacing, and their common grid.

Slices are sorted along cross(row, column). Their distance is that of their positions: SliceThickness and
SpacingBetweenSlices are often wrong, and are used only for a single slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.affine import check_affine
from monai_attn.io.dicom.slices import Slice
from monai_attn.io.dicom.words import AGAIN, CONVERT, counted, numbers_of
from monai_attn.io.grid import Grid

ROUNDED = 0.06  # mm off even spacing that is tolerated: half of a tenth, if files round to it
EVEN = 0.01  # fraction of the spacing; the same tolerance for thick slices
DOUBLED = 0.01  # mm between two slices; closer ones lie at one position
STRAIGHT = 1e-3  # tangent between the line of the slices and their normal; a tilted gantry has more
ASIDE = 0.15  # mm a slice may lie off the line, or the last one off the normal; for rounding too
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Stack:
    """Slices in order and their grid, whose affine is sheared if the gantry was tilted."""

    slices: tuple[Slice, ...]
    grid: Grid

    @property
    def doubts(self) -> tuple[str, ...]:
        """Doubts about the headers, one phrase each."""
        if all(
            {"RescaleSlope", "RescaleIntercept"} <= one.header.tags.keys() for one in self.slices
        ):
            return ()
        return ("no rescale slope or intercept; 1 and 0 are used",)


def stack_slices(folder: Path, slices: Sequence[Slice]) -> Stack:
    """Sort the slices along their normal, check them, and compute their grid."""
    row, column = _directions(slices[0])
    normal = np.cross(row, column)
    slices = sorted(slices, key=lambda one: (float(np.dot(one.position, normal)), one.name))
    positions = np.array([one.position for one in slices])
    if len(slices) == 1:
        step = normal * _thickness(folder, slices[0])
    else:
        _check_single(folder, slices, positions @ normal)
        _check_even(folder, slices, positions @ normal)
        step = _step(positions, normal)
        _check_line(folder, slices, positions, normal)
    affine = np.eye(4)
    affine[:3, 0] = row * slices[0].spacing[0]
    affine[:3, 1] = column * slices[0].spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    shape = (*slices[0].size, len(slices))
    check_affine(folder, affine)
    return Stack(tuple(slices), Grid(shape, LPS_TO_RAS @ affine, 1, folder))


def _directions(one: Slice) -> NDArray[np.float64]:
    """Return orthonormal directions of row and column, (2, 3): the nearest to the rounded header's."""
    left, _, right = np.linalg.svd(np.reshape(one.directions, (2, 3)), full_matrices=False)
    return left @ right


def _step(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the step from slice to slice in mm, oblique to their normal if the gantry was tilted.

    Positions are rounded too: a deviation from the normal that is smaller than a tilt counts as straight.
    """
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    along = float(step @ normal)
    aside = float(np.linalg.norm(step - along * normal))
    if aside / along > STRAIGHT and aside * (len(positions) - 1) > ASIDE:
        return step
    return along * normal


def _thickness(folder: Path, one: Slice) -> float:
    """Return the thickness of a single slice in mm."""
    for tag in ("SliceThickness", "SpacingBetweenSlices"):
        values = numbers_of(one.header.tags.get(tag, ""))
        if len(values) == 1 and 0 < values[0] < np.inf:
            return values[0]
    raise ValueError(
        f"{folder}: only one slice, {one.name}, and no thickness in it;"
        " give a folder that holds the whole scan"
    )


def _check_single(folder: Path, slices: Sequence[Slice], along: NDArray[np.float64]) -> None:
    """Check that no image occurs twice, and that no two lie at one position."""
    by_uid: dict[str, Slice] = {}
    for slice_ in slices:
        uid = slice_.header.tags.get("SOPInstanceUID", slice_.name)
        if uid in by_uid:
            raise ValueError(
                f"{folder}: {by_uid[uid].name} and {slice_.name} are the same image (same SOPInstanceUID);"
                " delete one of them"
            )
        by_uid[uid] = slice_
    (pairs,) = np.nonzero(np.diff(along) < DOUBLED)
    if len(pairs):
        at = pairs[0]
        raise ValueError(
            f"{folder}: {slices[at].name} and {slices[at + 1].name} are at the same position"
            f" ({along[at]:.2f} mm, one of {len(pairs)} such pairs); keep one scan in the folder"
        )


def _check_even(folder: Path, slices: Sequence[Slice], along: NDArray[np.float64]) -> None:
    """Check that no slice is missing and that all distances are equal."""
    gaps = np.diff(along)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # lower median: it ignores a single hole
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
            f"{folder}: {counted(missing)} missing, {gaps[at]:.2f} mm between {slices[at].name} at"
            f" {along[at]:.2f} mm and {slices[at + 1].name} at {along[at + 1]:.2f} mm where others are"
            f" {usual:.2f} mm apart; copy the whole series again"
        )
    raise ValueError(
        f"{folder}: slices are {gaps.min():.2f} to {gaps.max():.2f} mm apart (expected even spacing);"
        f" export the series with even spacing, or {CONVERT}"
    )


def _check_line(
    folder: Path,
    slices: Sequence[Slice],
    positions: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> None:
    """Check that every slice lies on the line from the first to the last."""
    aside = positions - np.linspace(positions[0], positions[-1], len(positions))
    aside -= np.outer(aside @ normal, normal)
    distances = np.linalg.norm(aside, axis=1)
    if distances.max() > ASIDE:
        raise ValueError(
            f"{folder}: {slices[int(distances.argmax())].name} is {distances.max():.2f} mm off the line"
            f" of the slices (limit {ASIDE}); {AGAIN}"
        )
