"""The three planes in which a case is shown, and the order of its voxels for them.

Arrays are indexed (X, Y, Z), with an affine from voxel index to RAS mm as nibabel gives it. Every
grid is first flipped and permuted to its closest RAS order, so that the planes depend on the patient
and not on how the file was stored.

Panels follow the radiological convention: the patient's right at the left of the axial and the
coronal plane, anterior at the left of the sagittal plane, anterior or superior up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nibabel.affines import obliquity, voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

POSITIVE, NEGATIVE = "RAS", "LPI"  # the direction letters of the axes 0, 1, 2
FIELD_MM = 280.0  # most of an abdomen; larger scans are cut to this: a pancreas stays large
MARGIN_MM = 20.0  # of context around labels that exceed the field


@dataclass(frozen=True)
class Plane:
    """A plane perpendicular to the axis `through`; `across` runs leftwards, `up` upwards."""

    name: str
    through: int
    across: int
    up: int

    @property
    def letters(self) -> str:
        """Letters of the directions at its left, right, top and bottom edge."""
        a, u = self.across, self.up
        return POSITIVE[a] + NEGATIVE[a] + POSITIVE[u] + NEGATIVE[u]


PLANES = (Plane("axial", 2, 0, 1), Plane("coronal", 1, 0, 2), Plane("sagittal", 0, 1, 2))


@dataclass(frozen=True)
class Marked:
    """Voxels that the planes go through, in closest RAS order.

    Attributes:
        mask: (X, Y, Z) the voxels of interest; there may be none.
        affine: (4, 4) voxel to RAS mm.
    """

    mask: np.ndarray
    affine: np.ndarray

    @cached_property
    def spacing(self) -> list[float]:
        """Voxel size along each axis, mm."""
        return [float(size) for size in voxel_sizes(self.affine)]

    @cached_property
    def centre(self) -> tuple[int, int, int]:
        """Voxel in which the planes meet: a marked one, in the axial slice with most marked voxels."""
        if not self._areas[2].any():
            x, y, z = (size // 2 for size in self.mask.shape)
            return x, y, z
        z = int(np.argmax(self._areas[2]))
        x = _middle(np.count_nonzero(self.mask[:, :, z], axis=1))
        return x, _middle(self.mask[x, :, z]), z

    @cached_property
    def fields(self) -> list[tuple[float, float]]:
        """Range to show along each axis, mm from the centre of voxel 0."""
        return [self._field(axis) for axis in range(3)]

    @cached_property
    def _areas(self) -> list[np.ndarray]:
        """Number of marked voxels in each slice, for each axis."""
        pairs = ((1, 2), (0, 2), (0, 1))
        return [np.count_nonzero(self.mask, axis=others) for others in pairs]

    def _field(self, axis: int) -> tuple[float, float]:
        size = self.spacing[axis]
        low, high = -size / 2, (self.mask.shape[axis] - 0.5) * size
        width = min(FIELD_MM, high - low)
        start = min(max(self.centre[axis] * size - width / 2, low), high - width)
        stop = start + width
        found = np.flatnonzero(self._areas[axis])
        for end in found[[0, -1]] if len(found) else ():
            start = min(start, max(low, end * size - MARGIN_MM))
            stop = max(stop, min(high, end * size + MARGIN_MM))
        return start, stop


def to_ras(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the voxels (X, Y, Z) in closest RAS order, as a view."""
    turned: np.ndarray = apply_orientation(array, io_orientation(affine))
    return turned


def ras_affine(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the affine (4, 4) of the result of `to_ras` for an array of this shape."""
    turned: np.ndarray = affine @ inv_ornt_aff(io_orientation(affine), shape)
    return turned


def tilt(affine: np.ndarray) -> float:
    """Return the largest angle between the planes and the patient's axes, in degrees."""
    return float(np.degrees(obliquity(affine).max()))


def _middle(areas: np.ndarray) -> int:
    """Return the index of the marked slice nearest to the centre of mass, which may fall in a gap."""
    marked = np.flatnonzero(areas)
    centre = np.average(np.arange(len(areas)), weights=areas)
    return int(marked[np.argmin(np.abs(marked - centre))])
