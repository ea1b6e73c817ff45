"""The solid organs around the pancreas: liver, gallbladder, spleen and kidneys."""

from __future__ import annotations

import numpy as np

from .body import Body
from .shapes import Array, Distance, Shape, ellipsoid, grown, inset, union, within
from .tissue import FAT, Tissue

LIVER_VESSELS: tuple[tuple[tuple[float, float, float, float], ...], ...] = (  # portal, then hepatic
    ((30, 6, 38, 7), (50, 12, 50, 6), (72, 0, 58, 4), (92, -12, 62, 2)),
    ((50, 12, 50, 5), (70, 25, 52, 3.5), (88, 35, 45, 2)),
    ((50, 12, 50, 5), (66, 10, 75, 3.5), (84, 6, 92, 2)),
    ((34, 10, 46, 5), (10, 38, 66, 4), (-14, 48, 70, 2)),
    ((24, -6, 100, 6), (48, 5, 88, 5), (80, 0, 78, 2)),
    ((24, -6, 100, 6), (36, 24, 88, 5), (44, 48, 70, 2)),
    ((24, -6, 100, 5), (6, 26, 88, 4), (-12, 46, 82, 2)),
    ((60, 4, 82, 3), (78, -30, 70, 2), (90, -40, 50, 1.5)),
)


def draw_solid_organs(
    body: Body, cavity: Shape, domes: Shape, apart: Distance
) -> tuple[Shape, ...]:
    """Draw liver, gallbladder, spleen and kidneys, and return their shapes.

    Args:
        body: gets the organs.
        cavity: holds them.
        domes: of the diaphragm; liver and spleen lie under them.
        apart: a limit that keeps them off the pancreas.
    """
    under = inset(domes, 2)
    slope = body.rng.uniform(0.8, 1.0)
    tip = body.rng.uniform(-65, -30) * float(body.scale[2])

    def visceral(x: Array, y: Array, z: Array) -> Array:  # the liver's lower face
        steep = tip + slope * (108 - x) - 0.25 * y - z
        return np.asarray(steep / np.sqrt(1 + slope**2 + 0.06), np.float32)

    right = body.blob((62, 4, 36), (66, 84, 102))
    left = body.blob((-8, 42, 66), (66, 36, 42), tilt=-0.2)
    right_kidney, left_kidney = (
        within(body.blob(centre, (24, 28, 54), turn=side * 0.5, tilt=side * 0.18), apart, blend=6)
        for side, centre in ((1, (63, -38, -12)), (-1, (-62, -37, 6)))
    )
    lobes = union(right, left, blend=30)
    liver = within(lobes, inset(cavity, 2), under, visceral, apart, blend=9)
    liver = grown(liver, body.ripple(55, 1.0), 2)
    body.add("liver", liver, Tissue(body.hu("liver"), texture=3, grain=9))
    for line in LIVER_VESSELS:
        branch = within(body.vessel(*line, jitter=2.5), inset(liver, 3))
        body.add("liver", branch, Tissue(body.hu("portal_vein")))
    bile = within(body.blob((58, 44, -2), (13, 25, 15), tilt=0.3), apart, blend=5)
    body.add("gallbladder", bile, Tissue(body.hu("bile"), body.hu("wall"), 1.5), 1)
    spleen = body.blob((-88, -28, 54), (29, 47, 55), turn=-0.35, tilt=0.15)
    spleen = within(spleen, inset(cavity, 2), under, apart, blend=10)
    body.add("spleen", spleen, Tissue(body.hu("spleen"), texture=3), 1.5)
    for name, side, kidney in (("right_kidney", 1, right_kidney), ("left_kidney", -1, left_kidney)):
        body.add(name, kidney, Tissue(body.hu("medulla"), body.hu("cortex"), 7), 6)
        hilum = (kidney.low + kidney.high) / 2 + [-side * 17, 8, 0]
        body.add("background", ellipsoid(hilum, (15, 8, 22), side * 0.5), Tissue(FAT))
    return liver, bile, spleen, right_kidney, left_kidney
