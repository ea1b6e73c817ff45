"""The frame that holds the organs: trunk, thorax, spine and ribs."""

from __future__ import annotations

import numpy as np

from .body import Body
from .shapes import (
    ENDLESS,
    Array,
    Shape,
    clear_of,
    column,
    curve,
    grown,
    inset,
    tube,
    union,
    within,
)
from .tissue import FAT, Tissue


def draw_trunk(body: Body) -> tuple[Shape, tuple[float, float]]:
    """Draw table, skin, subcutaneous fat, muscle wall and the fat-filled cavity.

    Returns:
        The cavity, and the half axes of the skin (x, y) in mm.
    """
    (sx, sy, _), v = (float(k) for k in body.scale), body.visceral
    inner = np.array([122 * sx * v, 80 * sy * v])
    muscle = np.array([inner[0] + body.rng.uniform(9, 13), 98 * sy * (1 + v) / 2])
    half = np.minimum(muscle + [body.fat, 0.75 * body.fat + 3], [190, 165])
    half[0] = max(half[0], 130.0)
    front = 8 * sy * v
    back = -half[1] - 10

    def table(x: Array, y: Array, z: Array) -> Array:
        sag = y - np.float32(back) - x * x * np.float32(0.0011)
        return np.asarray(np.maximum(np.abs(sag) - 1.5, np.abs(x) - 215), np.float32)

    low, high = np.array([-215, back - 4, -ENDLESS]), np.array([215, back + 60, ENDLESS])
    body.add("background", Shape(low, high, table), Tissue(40))
    skin = column((0, 0), (half[0], half[1]), 2.25, 0.05)
    body.add("background", skin, Tissue(FAT - 4, 15, 1.8, texture=3))
    torso = grown(column((0, 0), (muscle[0], muscle[1]), 2.3, 0.05), body.ripple(70, 1.5), 3)
    body.add("muscle", torso, Tissue(body.hu("muscle"), texture=5, grain=9))
    for side in (-1, 1):
        back_muscle = body.vessel(
            (side * 24, -79, 200, 15),
            (side * 29, -80, 40, 18),
            (side * 31, -81, -60, 20),
            (side * 30, -82, -200, 19),
        )
        tissue = Tissue(body.hu("muscle"), texture=8, grain=12)
        body.add("muscle", within(back_muscle, inset(torso, 0.5)), tissue, 1.3)
    cavity = grown(column((0, front), (inner[0], inner[1]), 2.3, 0.05), body.ripple(60, 1.0), 2)

    def plane(x: Array, y: Array, z: Array) -> Array:  # fat between the oblique muscles
        sheet = np.abs(cavity.distance(x, y, z) - 5.5) - 0.6
        return np.asarray(np.maximum(sheet, np.abs(y - 8) - 55), np.float32)

    body.add("background", Shape(cavity.low - 8, cavity.high + 8, plane), Tissue(FAT))
    body.add("background", cavity, Tissue(FAT, texture=7, grain=16))
    return cavity, (float(half[0]), float(half[1]))


def draw_thorax(body: Body, cavity: Shape) -> Shape:
    """Draw the lungs above the domes of the diaphragm and the heart on them; return the domes."""
    right = body.blob((56, 10, 28), (66, 78, 98), jitter=2)
    left = body.blob((-60, 8, 22), (62, 74, 92), jitter=2)
    tendon = body.blob((-4, 30, 25), (54, 60, 84), jitter=2)
    domes = union(right, left, tendon, blend=20)
    middle = column((0, -45), (34, 60))
    floor = np.float32(body.rng.uniform(30, 50))

    def recess(x: Array, y: Array, z: Array) -> Array:  # the pleura ends higher in front
        return np.asarray(floor + 0.4 * (y + 70) - z, np.float32)

    lungs = within(cavity, inset(cavity, 1), clear_of(domes, 0), clear_of(middle, 0), recess)
    body.add("lungs", lungs, Tissue(-840, texture=25, grain=11))
    heart = body.blob((-22, 28, 168), (60, 48, 52))
    body.add("background", heart, Tissue(body.hu("vena_cava"), FAT, 4, texture=3))
    return domes


def draw_skeleton(body: Body, cavity: Shape) -> None:
    """Draw the muscles next to the spine, the spine, and the ribs in the wall of the cavity."""
    bend = np.float32(body.rng.uniform(2, 5))  # mm, forward bend of the spine at the lordosis
    _draw_psoas_and_crura(body)
    _draw_spine(body, bend)
    _draw_ribs(body, cavity)


def _draw_psoas_and_crura(body: Body) -> None:
    for side in (-1, 1):
        psoas = body.vessel(
            (side * 20, -42, 40, 4),
            (side * 29, -46, 5, 9),
            (side * 36, -44, -50, 13),
            (side * 44, -36, -160, 17),
        )
        body.add("muscle", psoas, Tissue(body.hu("muscle"), texture=5), 1.5)
        crus = body.vessel(
            (side * 10 - 6, -24, -10, 3),
            (side * 13 - 6, -20, 40, 4.5),
            (side * 15 - 6, -14, 120, 4),
        )
        body.add("muscle", crus, Tissue(body.hu("muscle")), 1)


def _draw_spine(body: Body, bend: np.float32) -> None:
    """Draw discs, arches with their processes, vertebral bodies and the canal."""
    _, sy, sz = (float(v) for v in body.scale)
    marrow, bone = body.hu("marrow"), body.hu("cortical")
    pitch = np.float32(35 * sz)  # from one vertebra to the next

    def local(y: Array, z: Array) -> tuple[Array, Array]:  # relative to the nearest vertebra
        y = np.asarray(y + np.float32(48 * sy) - bend * np.cos((z + 20) / 70), np.float32)
        return y, np.asarray((z + pitch / 2) % pitch - pitch / 2, np.float32)

    def disc(x: Array, y: Array, z: Array) -> Array:
        y, _ = local(y, z)
        return np.asarray((np.sqrt((x / 23.0) ** 2 + (y / 17.0) ** 2) - 1) * 19, np.float32)

    def arch(x: Array, y: Array, z: Array) -> Array:
        y, z = local(y, z)
        ring = np.abs(np.sqrt(x * x + (y + 26) ** 2) - 13) - 3.5
        ring = np.maximum(ring, np.abs(z + 2) - 11)
        spinous = np.maximum(
            np.maximum(np.abs(x) - 3.5, np.abs(y + 48) - 12), np.abs(z + 6 - 0.3 * (y + 48)) - 9
        )
        across = np.maximum(
            np.abs(np.abs(x) - 24) - 14,
            np.sqrt((y + 26 + np.abs(x) * 0.15) ** 2 + (z - 3) ** 2) - 4.5,
        )
        return np.asarray(np.minimum(np.minimum(ring, spinous), across), np.float32)

    def vertebra(x: Array, y: Array, z: Array) -> Array:
        y, z = local(y, z)
        k = np.sqrt((x / 23.5) ** 2 + (y / 17.5) ** 2)
        waist = 2.5 * (1 - (z / 14) ** 2)
        return np.asarray(np.maximum((k - 1) * 19 + waist, np.abs(z) - (pitch / 2 - 4)), np.float32)

    def canal(x: Array, y: Array, z: Array) -> Array:
        y, _ = local(y, z)
        return np.asarray(np.sqrt(x * x + (y + 26) ** 2) - 9.5, np.float32)

    low, high = np.array([-40, -115 * sy, -ENDLESS]), np.array([40, -20, ENDLESS])
    body.add("spine", Shape(low, high, disc), Tissue(85, texture=5))
    body.add("spine", Shape(low, high, arch), Tissue(marrow + 90, bone, 1.5))
    body.add("spine", Shape(low, high, vertebra), Tissue(marrow, bone, 1.8, texture=12, grain=6))
    body.add("background", Shape(low, high, canal), Tissue(25, FAT, 1.5))


def _draw_ribs(body: Body, cavity: Shape) -> None:
    """Draw seven ribs on each side, from the lowest up, around the superellipse of the cavity."""
    _, sy, sz = (float(v) for v in body.scale)
    tissue = Tissue(body.hu("marrow") + 40, body.hu("cortical"), 1.5)
    centre = 8 * sy * body.visceral
    a = np.array([cavity.high[0] + 1, (cavity.high[1] - cavity.low[1]) / 2 + 1])
    power = 2 / 2.3  # the cavity's
    for side in (-1, 1):
        for k, end in enumerate((0.7, 1.3, 1.9, 2.2, 2.3, 2.4, 2.5)):  # radians from the spine
            t = np.linspace(0.25, end, 14)
            fall = (62 + 4 * k) * (1 - np.cos(t * 1.1)) / 1.5
            x = side * a[0] * np.sin(t) ** power
            y = centre - a[1] * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
            rib = np.stack([x, y, (38 + 29 * k) * sz - fall], 1)
            body.add("ribs", tube(curve(rib, 8), 5.0), tissue)
