"""A synthetic abdominal CT: the organs of `anatomy`, seen by a scanner.

The image is in Hounsfield units (int16), the labels are uint8, and `affine` maps voxel indices to
RAS+ millimetres. The same seed gives the same bytes. It is meant for tests, for demonstrations, and for
training where no data are available; it is not a patient.

Every choice has its own stream of random numbers, so another grid shows the same body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .anatomy import FAT, GAS, ORGANS, PHASES, Anatomy, Organ, Tissue, draw_anatomy
from .anatomy.shapes import Array, ripple

ORIENTATIONS = ("RAS", "LPS", "oblique")
BLOCK = (8, 48, 48)  # voxels (z, y, x) painted at a time: they fit into the processor's cache
THIN = 2.0  # mm; thicker slices are averaged from sub-slices no thicker than this


@dataclass(frozen=True)
class Phantom:
    """One synthetic scan: `image` and `labels` (X, Y, Z), HU; `affine` voxel to RAS+ mm."""

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    seed: int


def abdominal_phantom(
    seed: int,
    *,
    shape: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    orientation: str | None = None,
    all_organs: bool = False,
) -> Phantom:
    """Draw the body of a seed and scan it.

    Args:
        seed: body, contrast phase, noise and grid follow from it.
        shape: three voxel counts; drawn where None.
        spacing: voxel size in mm; drawn where None, or such that a given shape covers the body.
        orientation: "RAS", "LPS" or "oblique" (voxel axes up to 10 degrees off); drawn where None.
        all_organs: label every organ of `ORGANS`; otherwise only the pancreas, as 1.

    Raises:
        ValueError: for a negative seed, an unknown orientation or a bad shape or spacing.

    >>> phantom = abdominal_phantom(3, shape=(48, 40, 24))
    >>> phantom.image.shape
    (48, 40, 24)
    """
    check_arguments(seed, shape, spacing, orientation)
    phase = PHASES[int(_stream(seed, "phase").choice(3, p=[0.15, 0.3, 0.55]))]
    anatomy = draw_anatomy(_stream(seed, "anatomy"), phase)
    voxels, affine = _grid(_stream(seed, "grid"), anatomy, shape, spacing, orientation)
    size = np.linalg.norm(affine[:3, :3], axis=0)
    thin = int(np.ceil(size[2] / max(THIN, size[0]) - 1e-6))
    image, labels, pancreas = _paint(anatomy, voxels, affine, thin)
    image += _noise(_stream(seed, "noise"), image.shape, size)
    marks = np.where(pancreas >= 0.5, np.uint8(1), labels if all_organs else np.uint8(0))
    hu = np.clip(np.rint(image), -1024, 3071).astype(np.int16)
    return Phantom(hu.transpose(2, 1, 0), marks.transpose(2, 1, 0), affine, seed)


def _stream(seed: int, name: str) -> np.random.Generator:
    """Return the random number generator of one choice."""
    return np.random.default_rng([seed, ("anatomy", "phase", "grid", "noise").index(name)])


def check_arguments(
    seed: int, shape: Sequence[int] | None, spacing: Sequence[float] | None, orientation: str | None
) -> None:
    """Refuse arguments that no phantom can have.

    Raises:
        ValueError: for a negative seed, an unknown orientation or a bad shape or spacing.
    """
    if seed < 0:
        raise ValueError(f"seed (={seed}) must be 0 or more: choose another seed")
    if orientation is not None and orientation not in ORIENTATIONS:
        raise ValueError(
            f"orientation (={orientation!r}) must be one of {', '.join(ORIENTATIONS)}: "
            "choose one, or leave it out"
        )
    for name, values, unit in (
        ("shape", shape, "voxel counts"),
        ("spacing", spacing, "sizes in mm"),
    ):
        if values is None:
            continue
        bad = len(values) != 3 or any(not np.isfinite(v) or v <= 0 for v in values)
        if bad or (name == "shape" and any(int(v) != v for v in values)):
            whole = "whole " if name == "shape" else ""
            raise ValueError(
                f"{name} (={tuple(values)}) must be three positive {whole}{unit}: "
                "give x, y and z, or leave it out"
            )


# --- the grid -------------------------------------------------------------------------------------


def _grid(
    rng: np.random.Generator,
    anatomy: Anatomy,
    shape: Sequence[int] | None,
    spacing: Sequence[float] | None,
    orientation: str | None,
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Draw voxel counts and affine; arguments override values only after all are drawn."""
    plane = rng.uniform(0.6, 1.0)
    slab = rng.choice([1, 1.5, 2, 2.5, 3, 4, 5], p=[0.04, 0.06, 0.12, 0.28, 0.2, 0.1, 0.2])
    view, cover, offset = rng.uniform(0.97, 1.2), rng.uniform(165, 235), rng.uniform(-0.7, 0.7)
    drawn = str(rng.choice(ORIENTATIONS, p=[0.35, 0.4, 0.25]))
    tilt, shift = rng.uniform(-1, 1, 3), rng.uniform(-8, 8, 2)
    orientation = orientation or drawn

    body = 2 * np.array(anatomy.half_axes)
    pancreas = anatomy.pose @ np.append((anatomy.pancreas.low + anatomy.pancreas.high) / 2, 1)
    low, high = anatomy.pancreas.low[2], anatomy.pancreas.high[2]
    cover = max(cover, high - low + 40)
    field = np.array([body[0] * view, max(body[0] * view, body[1] + 35), cover])
    if spacing is None:
        if shape is None:
            plane = max(plane, field[1] / 512)
            spacing = (plane, plane, float(slab))
        else:
            plane = max((body[0] * 1.08) / shape[0], (body[1] + 40) / shape[1])
            spacing = (plane, plane, cover / shape[2])
    mm = np.array(spacing, float)
    counts = np.maximum(np.rint(field / mm), 1) if shape is None else np.array(shape)
    voxels = (int(counts[0]), int(counts[1]), int(counts[2]))

    extent = mm * counts
    centre = np.array([*(anatomy.pose[:2, 3] + shift * (shape is None) + (0, -6)), pancreas[2]])
    for axis in (0, 1):
        if extent[axis] < 0.8 * body[axis]:  # too small for the body: look at the pancreas
            centre[axis] = pancreas[axis]
    if shape is None:
        centre[2] += offset * max(0.0, (extent[2] - (high - low) - 30) / 2)

    axes = np.diag([-1.0, -1.0, 1.0]) if orientation == "LPS" else np.eye(3)
    if orientation == "oblique":
        axes = _rotation(tilt / np.linalg.norm(tilt), np.deg2rad(4 + 6 * abs(tilt[0])))
    affine = np.eye(4)
    affine[:3, :3] = axes * mm
    affine[:3, 3] = centre - affine[:3, :3] @ ((counts - 1) / 2)
    return voxels, affine


def _rotation(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return the rotation (3, 3) about a unit axis by radians (Rodrigues)."""
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


# --- the scanner ----------------------------------------------------------------------------------


def _paint(
    anatomy: Anatomy, voxels: tuple[int, int, int], affine: NDArray[np.float64], thin: int
) -> tuple[Array, NDArray[np.uint8], Array]:
    """Paint HU, labels (without the pancreas) and pancreas occupancy, each (Z, Y, X).

    A slice is the mean of `thin` sub-slices.
    """
    fine = np.eye(4)
    fine[2, 2:] = 1 / thin, 0.5 / thin - 0.5
    to_body = np.linalg.inv(anatomy.pose) @ affine @ fine
    size = np.linalg.norm(to_body[:3, :3], axis=0)
    nx, ny, nz = voxels
    hu = np.full((nz * thin, ny, nx), -1000, np.float32)
    labels = np.zeros(hu.shape, np.uint8)
    pancreas = np.zeros(hu.shape, np.float32)
    # An edge is blurred over the width of a voxel, and over 1 mm at least: the scanner's resolution.
    blur = np.float32(max(size.mean(), 1.0))
    for organ in anatomy.organs:
        for box in _blocks(organ, to_body, hu.shape, float(blur)):
            where = _coordinates(to_body, box)
            _paint_block(organ, where, blur, hu[box], labels[box], pancreas[box])
    if thin > 1:
        stacked = (nz, thin, ny, nx)
        hu = hu.reshape(stacked).mean(1, dtype=np.float32)
        pancreas = pancreas.reshape(stacked).mean(1, dtype=np.float32)
        labels = labels.reshape(stacked)[:, thin // 2].copy()
    return hu, labels, pancreas


def _blocks(
    organ: Organ, to_body: NDArray[np.float64], shape: tuple[int, ...], blur: float
) -> list[tuple[slice, slice, slice]]:
    """List the blocks (z, y, x) of the grid that the organ can touch."""
    reach = organ.halo + blur
    low, high = organ.shape.low - reach, organ.shape.high + reach
    low, high = np.maximum(low, -600), np.minimum(high, 600)
    corners = np.array([[(low, high)[b >> i & 1][i] for i in range(3)] + [1.0] for b in range(8)])
    index = (np.linalg.inv(to_body) @ corners.T)[2::-1]
    first = np.clip(np.floor(index.min(1)).astype(int), 0, shape)
    last = np.clip(np.ceil(index.max(1)).astype(int) + 1, 0, shape)
    radius = float(np.linalg.norm(np.linalg.norm(to_body[:3, :3], axis=0)[::-1] * BLOCK)) / 2
    boxes = []
    for z in range(first[0], last[0], BLOCK[0]):
        for y in range(first[1], last[1], BLOCK[1]):
            for x in range(first[2], last[2], BLOCK[2]):
                ends = [min(a + n, e) for a, n, e in zip((z, y, x), BLOCK, last, strict=True)]
                middle = (np.array([x, y, z]) + ends[::-1] - 1) / 2
                point = (to_body @ np.append(middle, 1)).astype(np.float32)
                gap = organ.shape.distance(*(point[i].reshape(1, 1, 1) for i in range(3)))
                # The shapes' distances are approximate: up to 1.5 times too long.
                if float(gap.max()) <= 1.5 * radius + reach:
                    boxes.append((slice(z, ends[0]), slice(y, ends[1]), slice(x, ends[2])))
    return boxes


def _coordinates(to_body: NDArray[np.float64], box: tuple[slice, slice, slice]) -> list[Array]:
    """Return body coordinates (mm) of a block, with length 1 along axes that do not change them."""
    index = np.ogrid[box]
    coordinates = []
    for row in to_body[:3]:
        value = np.full((1, 1, 1), row[3])
        for weight, axis in zip(row[2::-1], index, strict=True):
            if abs(weight) > 1e-9:
                value = value + weight * axis
        coordinates.append(value.astype(np.float32))
    return coordinates


def _paint_block(
    organ: Organ,
    where: list[Array],
    blur: np.float32,
    hu: Array,
    labels: NDArray[np.uint8],
    pancreas: Array,
) -> None:
    """Paint an organ and its halo into a block, in place."""
    d = organ.shape.distance(*where)
    if float(d.min()) > organ.halo + blur:
        return
    if organ.halo:
        halo = np.clip(0.5 - (d - np.float32(organ.halo)) / blur, 0, 1)
        hu += halo * (np.float32(FAT) - hu)
        labels[np.broadcast_to(halo >= 0.5, hu.shape)] = 0
    inside = np.clip(0.5 - d / blur, 0, 1)
    hu += inside * (_fill(organ.tissue, d, where, blur) - hu)
    if organ.label == ORGANS["pancreas"]:
        np.maximum(pancreas, inside, out=pancreas)
    else:
        labels[np.broadcast_to(inside >= 0.5, hu.shape)] = organ.label


def _fill(tissue: Tissue, d: Array, where: list[Array], blur: np.float32) -> Array | np.float32:
    """Return the HU inside a shape, by depth and position."""
    x, y, z = where
    value: Any = np.float32(tissue.hu)
    if tissue.texture:
        value = value + ripple(tissue.grain, tissue.texture, (0.3, 1.1, 2.0))(x, y, z)
        value = value + ripple(tissue.grain * 2.3, tissue.texture, (1.7, 0.2, 0.9))(x, y, z)
    if tissue.gas_above is not None:
        gas = np.clip((y - np.float32(tissue.gas_above)) / blur + 0.5, 0, 1)
        value = value + gas * (np.float32(GAS) - value)
    if tissue.rim:
        rim = np.clip((d + np.float32(tissue.rim)) / blur + 0.5, 0, 1)
        value = value + rim * (np.float32(tissue.rim_hu) - value)
    return np.asarray(value, np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], size: NDArray[np.float64]) -> Array:
    """Draw noise as of filtered back-projection: few low frequencies, strongest in the middle."""
    level = rng.uniform(7, 20) * float(np.clip((2.5 / size[2]) ** 0.3, 0.8, 1.3))
    sharp = rng.uniform(0.55, 0.95)  # mm
    white = rng.standard_normal(shape, dtype=np.float32)
    between = 0.45 if shape[0] > 1 else 0.0  # slices, (Z, Y, X)
    fine = (between, sharp / size[1], sharp / size[0])
    broad = (between, 3 * sharp / size[1], 3 * sharp / size[0])
    noise = gaussian_filter(white, fine, truncate=3)
    noise -= 0.7 * gaussian_filter(white, broad, truncate=3)
    noise *= np.float32(level / noise.std())
    v, u = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape[1:])
    noise *= 0.65 + 0.6 * np.exp(-2 * (u * u + v[:, None] * v[:, None]))
    angle, waves = rng.uniform(0, np.pi), rng.uniform(8, 25)
    streak = np.sin(waves * (np.cos(angle) * u + np.sin(angle) * v[:, None]) + rng.uniform(0, 6))
    noise += streak * rng.normal(0, 2, (shape[0], 1, 1)).astype(np.float32)
    return np.asarray(noise, np.float32)
