"""Implicit shapes: a signed distance in millimetres (negative inside) on broadcastable coordinates.

The coordinates `x`, `y`, `z` are three float32 arrays that broadcast against each other, in any
frame with millimetres. So a shape does not depend on a grid, and on an axis-aligned grid each axis is
computed only for the terms that vary along it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import make_interp_spline

Array = NDArray[np.float32]
Distance = Callable[[Array, Array, Array], Array]
FAR = 600.0  # mm; the distance where nothing is near
ENDLESS = 1e4  # mm; half the height of a shape without ends


@dataclass(frozen=True)
class Shape:
    """A signed distance in mm, with the box `low`..`high` (mm) that encloses the shape."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    distance: Distance


def ellipsoid(centre: ArrayLike, radii: ArrayLike, turn: float = 0.0, tilt: float = 0.0) -> Shape:
    """Return an ellipsoid, turned about z and then tilted about y (radians)."""
    c, r = np.asarray(centre, float), np.asarray(radii, float)
    ct, st, cp, sp = np.cos(turn), np.sin(turn), np.cos(tilt), np.sin(tilt)
    axes = np.array([[ct * cp, st * cp, -sp], [-st, ct, 0], [ct * sp, st * sp, cp]])
    reach = np.sqrt((axes**2 * (r**2)[:, None]).sum(0))
    m = axes.astype(np.float32)
    cx, cy, cz = (np.float32(v) for v in c)
    rx, ry, rz = (np.float32(v) for v in r)

    def distance(x: Array, y: Array, z: Array) -> Array:
        x, y, z = x - cx, y - cy, z - cz
        u = (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z) / rx
        v = (m[1, 0] * x + m[1, 1] * y) / ry
        w = (m[2, 0] * x + m[2, 1] * y + m[2, 2] * z) / rz
        inner = np.sqrt(u * u + v * v + w * w) + np.float32(1e-3)
        u, v, w = u / rx, v / ry, w / rz
        return np.asarray(inner * (inner - 1) / np.sqrt(u * u + v * v + w * w + 1e-6), np.float32)

    return Shape(c - reach, c + reach, distance)


def column(
    centre: tuple[float, float], half: tuple[float, float], power: float = 2.0, waist: float = 0.0
) -> Shape:
    """Return an upright superellipse cylinder; `waist` narrows it slowly away from z = 60 mm."""
    # Python's floats: float64 scalars of NumPy would widen the arrays.
    (cx, cy), (a, b) = map(float, centre), map(float, half)

    def distance(x: Array, y: Array, z: Array) -> Array:
        x, y = x - np.float32(cx), y - np.float32(cy)
        k = (np.abs(x / a) ** power + np.abs(y / b) ** power) ** (1 / power) + np.float32(1e-3)
        radius = np.sqrt(x * x + y * y)
        size = 1 - waist * (1 - np.cos((z - 60) / 60))
        return np.asarray(radius - radius / k * size, np.float32)

    low, high = np.array([cx - a, cy - b, -ENDLESS]), np.array([cx + a, cy + b, ENDLESS])
    return Shape(low, high, distance)


def tube(points: ArrayLike, radii: ArrayLike, reach: float = 8.0) -> Shape:
    """Return rounded cones along a polyline.

    Segments further than `reach` mm from all given coordinates are left out: distances are exact up to
    `reach`.
    """
    p = np.asarray(points, float)
    r = np.broadcast_to(np.asarray(radii, float), len(p)).copy()
    start, step = p[:-1], np.diff(p, axis=0)
    square = np.maximum((step**2).sum(1), 1e-6)
    widest = np.maximum(r[:-1], r[1:])

    def near(x: Array, y: Array, z: Array) -> NDArray[np.intp]:
        low = np.array([x.min(), y.min(), z.min()], float)
        high = np.array([x.max(), y.max(), z.max()], float)
        offset = (low + high) / 2 - start
        t = np.clip((offset * step).sum(1) / square, 0, 1)
        gap = np.linalg.norm(offset - t[:, None] * step, axis=1) - widest
        keep = gap < max(float(np.linalg.norm(high - low)) / 2 + reach, float(gap.min()) + 1e-3)
        return np.flatnonzero(keep)

    def distance(x: Array, y: Array, z: Array) -> Array:
        d = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), FAR, np.float32)
        for i in near(x, y, z):
            (ax, ay, az), (ux, uy, uz) = start[i].astype(np.float32), step[i].astype(np.float32)
            px, py, pz = x - ax, y - ay, z - az
            along = (px * ux + py * uy) + pz * uz
            t = along * np.float32(1 / square[i])
            np.minimum(np.maximum(t, 0, out=t), 1, out=t)
            # |p - t u|^2 = |p|^2 + t (t |u|^2 - 2 p.u): fewer passes than by components.
            gap = t * np.float32(square[i])
            gap -= np.float32(2) * along
            gap *= t
            gap += (px * px + py * py) + pz * pz
            np.sqrt(np.maximum(gap, 0, out=gap), out=gap)
            t *= np.float32(r[i + 1] - r[i])
            gap -= t
            gap -= np.float32(r[i])
            np.minimum(d, gap, out=d)
        return d

    margin = r.max()
    return Shape(p.min(0) - margin, p.max(0) + margin, distance)


def union(*shapes: Shape, blend: float = 0.0) -> Shape:
    """Return the union of shapes; `blend` (mm) rounds the seam between two of them."""

    def distance(x: Array, y: Array, z: Array) -> Array:
        d = shapes[0].distance(x, y, z)
        for shape in shapes[1:]:
            other = shape.distance(x, y, z)
            h = np.maximum(blend - np.abs(d - other), 0) if blend else 0
            d = np.minimum(d, other) - (h * h * np.float32(0.25 / blend) if blend else 0)
        return d

    return Shape(np.min([s.low for s in shapes], 0), np.max([s.high for s in shapes], 0), distance)


def within(shape: Shape, *limits: Distance, blend: float = 0.0) -> Shape:
    """Return the part of a shape where every limit is negative; `blend` (mm) rounds the cut's edge."""

    def distance(x: Array, y: Array, z: Array) -> Array:
        d = shape.distance(x, y, z)
        for limit in limits:
            other = limit(x, y, z)
            h = np.maximum(blend - np.abs(d - other), 0) if blend else 0
            d = np.maximum(d, other) + (h * h * np.float32(0.25 / blend) if blend else 0)
        return d

    return Shape(shape.low, shape.high, distance)


def grown(shape: Shape, by: Distance, reach: float) -> Shape:
    """Return the shape with its surface moved outwards by a field of at most `reach` mm."""

    def distance(x: Array, y: Array, z: Array) -> Array:
        d = shape.distance(x, y, z)
        far = float(d.min()) > reach + 20  # there a ripple does not matter
        return d if far else d - by(x, y, z)

    return Shape(shape.low - reach, shape.high + reach, distance)


def inset(shape: Shape, by: float) -> Distance:
    """Return the distance of a shape shrunk by `by` mm, for use as a limit."""
    return lambda x, y, z: shape.distance(x, y, z) + np.float32(by)


def clear_of(shape: Shape, by: float) -> Distance:
    """Return a limit that keeps `by` mm away from a shape."""
    return lambda x, y, z: np.float32(by) - shape.distance(x, y, z)


def ripple(wavelength: float, amplitude: float, phase: ArrayLike) -> Distance:
    """Return a smooth irregular field in mm: two products of sines, cheap on broadcast coordinates."""
    k, (a, b, c) = 2 * np.pi / wavelength, (float(v) for v in np.asarray(phase))

    def field(x: Array, y: Array, z: Array) -> Array:
        # Oblique axes, so that it does not look like a chessboard.
        u, v = x + np.float32(0.6) * y, y - np.float32(0.5) * x
        first = np.sin(k * 0.9 * u + a) * np.sin(k * 0.77 * v + b) * np.sin(k * 0.91 * z + c)
        second = np.sin(k * 0.61 * x + b) * np.sin(k * 0.7 * y + c) * np.sin(k * 0.57 * z + a)
        return np.asarray(amplitude * (first + second), np.float32)

    return field


def curve(points: ArrayLike, step: float = 6.0) -> NDArray[np.float64]:
    """Sample a smooth line through the points about every `step` mm, radii included."""
    p = np.asarray(points, float)
    length = np.linalg.norm(np.diff(p[:, :3], axis=0), axis=1)
    t = np.concatenate([[0.0], np.cumsum(length)])
    spline = make_interp_spline(t, p, k=min(3, len(p) - 1))
    out = np.asarray(spline(np.linspace(0, t[-1], max(3, int(t[-1] / step) + 1))))
    out[:, 3:] = np.clip(out[:, 3:], p[:, 3:].min(0), p[:, 3:].max(0))
    return out


def vessel(*points: Sequence[float]) -> Shape:
    """Return a tube through points (x, y, z, radius), mm."""
    line = curve(points)
    return tube(line[:, :3], line[:, 3])
