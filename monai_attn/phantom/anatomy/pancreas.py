"""The pancreas: a tube along a line from head to tail, with a hook, scaled to a random volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .body import Body
from .shapes import Shape, curve, grown, tube, union


def pancreas_of(body: Body) -> tuple[NDArray[np.float64], Shape]:
    """Return the centreline, head to tail (x, y, z, radius in mm), and the gland; paint nothing."""
    lift, arch = body.rng.uniform(-8, 10), body.rng.uniform(-3, 6)
    line = body.at(
        (38, 6, -16, 13),
        (32, 10, -6, 12.5),
        (19, 17 + arch / 2, 2, 9.5),
        (0, 22 + arch, 10, 10),
        (-24, 17 + arch, 20 + 0.5 * lift, 10.5),
        (-50, 4, 30 + lift, 10),
        (-70, -10, 39 + lift, 6.5),
        jitter=1.8,
    )
    line[:, 3] *= body.rng.uniform(0.9, 1.1, len(line))
    line = curve(line, 5)
    head, radius = line[0, :3], line[0, 3]
    hook = curve(
        [
            [*(head + (1, 3, 15)), radius * 0.8],
            [*head, radius],
            [*(head + (-1, -1, -17)), radius * 0.9],
            [*(head + (-15, -7, -19)), radius * 0.55],
        ],
        5,
    )
    coarse, fine = body.ripple(24, 0.9), body.ripple(11, 0.7)

    def gland(scale: float) -> Shape:
        whole = union(
            tube(line[:, :3], line[:, 3] * scale, 20),
            tube(hook[:, :3], hook[:, 3] * scale, 20),
            blend=4,
        )
        return grown(whole, lambda x, y, z: coarse(x, y, z) + fine(x, y, z), 3.5)

    target, scale = body.rng.uniform(33, 114) * 1000, 1.0  # mm3
    for _ in range(5):  # the volume grows roughly as radius ** 2.1
        scale *= (target / _volume(gland(scale))) ** (1 / 2.1)
    return np.column_stack([line[:, :3], line[:, 3] * scale]), gland(scale)


def _volume(shape: Shape, step: float = 2.5) -> float:
    """Return the volume in cubic millimetres, by antialiased occupancy on a lattice of `step` mm."""
    x, y, z = (
        np.arange(low, high + step, step, dtype=np.float32)
        for low, high in zip(shape.low, shape.high, strict=True)
    )
    total = 0.0
    # A few layers at a time, so that a tube can skip its far segments.
    for part in np.array_split(z, max(1, len(z) // 6)):
        d = shape.distance(x[None, None, :], y[None, :, None], part[:, None, None])
        total += float(np.clip(0.5 - d / step, 0, 1).sum(dtype=np.float64))
    return total * step**3
