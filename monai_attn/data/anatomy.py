"""The organs of a synthetic abdomen as implicit shapes, in millimetres.

Space: patient space, RAS+. `x` grows to the patient's right, `y` to the front, `z` to the head; the
origin is the middle of the body at the height of the second lumbar vertebra. Positions are those of
an average adult, varied by the seed; nothing is copied from a patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shapes import (
    Array,
    Distance,
    Shape,
    clear_of,
    column,
    curve,
    ellipsoid,
    grown,
    inset,
    ripple,
    tube,
    union,
    vessel,
    within,
)

ORGANS: dict[str, int] = {
    "background": 0,
    "pancreas": 1,
    "liver": 2,
    "spleen": 3,
    "right_kidney": 4,
    "left_kidney": 5,
    "stomach": 6,
    "duodenum": 7,
    "bowel": 8,
    "soft_bowel": 9,  # loops that look like the pancreas: same HU, texture and calibre, elsewhere
    "colon": 10,
    "gallbladder": 11,
    "aorta": 12,
    "vena_cava": 13,
    "portal_vein": 14,
    "spine": 15,
    "ribs": 16,
    "lungs": 17,
    "muscle": 18,
}

PHASES = ("native", "arterial", "portal")
FAT, GAS = -102.0, -950.0

# Mean HU per phase; the pancreas stays 10 to 40 HU away from the soft tissue around it.
HU: dict[str, tuple[float, float, float]] = {
    "pancreas": (32, 106, 92),
    "liver": (57, 78, 113),
    "spleen": (50, 130, 122),
    "cortex": (33, 190, 190),
    "medulla": (31, 95, 165),
    "wall": (46, 88, 76),
    "duodenum": (14, 82, 68),
    "aorta": (45, 290, 155),
    "vena_cava": (44, 95, 128),
    "portal_vein": (45, 136, 170),
    "muscle": (53, 60, 64),
    "bile": (8, 9, 10),
    "marrow": (170, 175, 180),
    "cortical": (380, 380, 380),
}


@dataclass(frozen=True)
class Tissue:
    """The filling of a shape: a core, a rim `rim` mm thick, gas in front of y = `gas_above` mm."""

    hu: float
    rim_hu: float = 0.0
    rim: float = 0.0
    gas_above: float | None = None
    texture: float = 0.0
    grain: float = 7.0  # wavelength of the texture, mm


@dataclass(frozen=True)
class Organ:
    """A shape, its tissue and its label; `halo` mm of fat part it from what was painted before."""

    label: int
    shape: Shape
    tissue: Tissue
    halo: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """Organs in painting order (a later one wins), the body's half axes (mm) and its pose."""

    organs: tuple[Organ, ...]
    half_axes: tuple[float, float]
    pose: NDArray[np.float64]
    pancreas: Shape
    phase: str


class _Builder:
    """Draws one body: scales, jitters and collects organs in painting order."""

    def __init__(self, rng: np.random.Generator, phase: str) -> None:
        self.rng, self.phase = rng, PHASES.index(phase)
        self.scale = np.array(
            [rng.uniform(0.92, 1.1), rng.uniform(0.94, 1.12), rng.uniform(0.94, 1.06)]
        )
        self.visceral = float(
            rng.uniform(0.93, 1.08)
        )  # fat inside the cavity moves the wall, not the organs
        self.fat = float(np.clip(rng.gamma(2.6, 6.5), 6, 42))  # subcutaneous, mm at the side
        self.shift = float(rng.normal(0, 4))  # one enhancement offset for the whole body
        self.offsets = {name: self.shift + float(rng.normal(0, 1.5)) for name in HU}
        self.oral = float(
            rng.choice([12.0, 25.0, 240.0, 320.0], p=[0.3, 0.2, 0.3, 0.2])
        )  # what was drunk, HU
        self.colon = np.zeros((0, 3))
        self.organs: list[Organ] = []

    def hu(self, name: str) -> float:
        return HU[name][self.phase] + self.offsets[name]

    def at(self, *points: Sequence[float], jitter: float = 0.0) -> NDArray[np.float64]:
        """Reference millimetres to this body's; a fourth column (a radius) scales by the mean."""
        p = np.array(points, float)
        p[:, :3] = (p[:, :3] + self.rng.normal(0, 1, (len(p), 3)) * jitter) * self.scale
        p[:, 3:] *= self.scale.mean()
        return p

    def vessel(self, *points: Sequence[float], jitter: float = 0.0) -> Shape:
        return vessel(*self.at(*points, jitter=jitter))

    def blob(
        self,
        centre: Sequence[float],
        radii: Sequence[float],
        turn: float = 0,
        tilt: float = 0,
        jitter: float = 3,
    ) -> Shape:
        size = self.scale * self.rng.uniform(0.93, 1.08)
        angles = self.rng.normal(0, 0.06, 2) + (turn, tilt)
        return ellipsoid(self.at(centre, jitter=jitter)[0], np.array(radii) * size, *angles)

    def ripple(self, wavelength: float, amplitude: float) -> Distance:
        return ripple(wavelength, amplitude, self.rng.uniform(0, 6.28, 3))

    def add(self, name: str, shape: Shape, tissue: Tissue, halo: float = 0.0) -> Shape:
        self.organs.append(Organ(ORGANS[name], shape, tissue, halo))
        return shape


def draw_anatomy(rng: np.random.Generator, phase: str) -> Anatomy:
    """Draws one abdomen.

    Args:
        rng: the only source of chance.
        phase: contrast phase, one of `PHASES`.
    """
    b = _Builder(rng, phase)
    trunk, pancreas = _pancreas(b)
    apart = clear_of(pancreas, 1.5)
    cavity, half_axes = _trunk(b)
    domes = _thorax(b, cavity)
    _skeleton(b, cavity)
    solid = _solid_organs(b, cavity, domes, apart)
    _great_vessels(b)
    stomach = _stomach_and_colon(b, cavity, domes, apart)
    duodenum = _duodenum_line(b)
    _bowel(b, cavity, pancreas, (stomach, *solid), duodenum)
    # Fat of uneven thickness around the gland: most of its outline can be seen, some of it can not.
    gap = b.ripple(50, 1.5)
    b.add("background", grown(pancreas, lambda x, y, z: 2.5 + gap(x, y, z), 6), Tissue(FAT))
    tissue = Tissue(b.hu("duodenum"), b.hu("wall"), 2.5, texture=4)
    b.add("duodenum", grown(vessel(*duodenum), b.ripple(20, 1.0), 3), tissue, 1)
    _vessels_along(b, trunk)
    b.add("pancreas", pancreas, Tissue(b.hu("pancreas"), texture=6))
    pose = np.eye(4)
    turn = rng.normal(0, 0.04)
    c, s = np.cos(turn), np.sin(turn)
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[:3, 3] = rng.normal(0, [4, 4, 0])
    return Anatomy(tuple(b.organs), half_axes, pose, pancreas, phase)


def _trunk(b: _Builder) -> tuple[Shape, tuple[float, float]]:
    """Table, skin, subcutaneous fat, muscle wall and the fat-filled cavity."""
    (sx, sy, _), v = (float(k) for k in b.scale), b.visceral
    inner = np.array([122 * sx * v, 80 * sy * v])
    wall = np.array([b.rng.uniform(9, 13), 0])
    muscle = np.array([inner[0] + wall[0], 98 * sy * (1 + v) / 2])
    half = np.minimum(muscle + [b.fat, 0.75 * b.fat + 3], [190, 165])
    half[0] = max(half[0], 130.0)
    front = 8 * sy * v
    back = -half[1] - 10

    def table(x: Array, y: Array, z: Array) -> Array:
        sag = y - np.float32(back) - x * x * np.float32(0.0011) + 0 * z
        return np.asarray(np.maximum(np.abs(sag) - 1.5, np.abs(x) - 215), np.float32)

    big = 1e4
    b.add(
        "background",
        Shape(np.array([-215, back - 4, -big]), np.array([215, back + 60, big]), table),
        Tissue(40),
    )
    b.add(
        "background",
        column((0, 0), (half[0], half[1]), 2.25, 0.05),
        Tissue(FAT - 4, 15, 1.8, texture=3),
    )
    torso = grown(column((0, 0), (muscle[0], muscle[1]), 2.3, 0.05), b.ripple(70, 1.5), 3)
    b.add("muscle", torso, Tissue(b.hu("muscle"), texture=5, grain=9))
    for side in (-1, 1):
        line = b.vessel(
            (side * 24, -79, 200, 15),
            (side * 29, -80, 40, 18),
            (side * 31, -81, -60, 20),
            (side * 30, -82, -200, 19),
        )
        b.add(
            "muscle",
            within(line, inset(torso, 0.5)),
            Tissue(b.hu("muscle"), texture=8, grain=12),
            1.3,
        )
    cavity = grown(column((0, front), (inner[0], inner[1]), 2.3, 0.05), b.ripple(60, 1.0), 2)

    def plane(x: Array, y: Array, z: Array) -> Array:  # fat between the oblique muscles
        sheet = np.abs(cavity.distance(x, y, z) - 5.5) - 0.6
        return np.asarray(np.maximum(sheet, np.abs(y - 8) - 55), np.float32)

    b.add("background", Shape(cavity.low - 8, cavity.high + 8, plane), Tissue(FAT))
    b.add("background", cavity, Tissue(FAT, texture=7, grain=16))
    return cavity, (float(half[0]), float(half[1]))


def _thorax(b: _Builder, cavity: Shape) -> Shape:
    """Lungs above the domes of the diaphragm, and the heart on them. Returns the domes."""
    right = b.blob((56, 10, 28), (66, 78, 98), jitter=2)
    left = b.blob((-60, 8, 22), (62, 74, 92), jitter=2)
    tendon = b.blob((-4, 30, 25), (54, 60, 84), jitter=2)
    domes = union(right, left, tendon, blend=20)
    middle = column((0, -45), (34, 60))
    floor = np.float32(b.rng.uniform(30, 50))

    def recess(x: Array, y: Array, z: Array) -> Array:  # the pleura ends higher in front
        return np.asarray(floor + 0.4 * (y + 70) - z, np.float32)

    def outside(shape: Shape) -> Distance:
        return lambda x, y, z: -shape.distance(x, y, z)

    lungs = within(cavity, inset(cavity, 1), outside(domes), outside(middle), recess)
    b.add("lungs", lungs, Tissue(-840, texture=25, grain=11))
    b.add(
        "background",
        b.blob((-22, 28, 168), (60, 48, 52)),
        Tissue(b.hu("vena_cava"), FAT, 4, texture=3),
    )
    return domes


def _skeleton(b: _Builder, cavity: Shape) -> None:
    """Vertebrae with discs, canal and processes; ribs in the wall; psoas and crura."""
    _, sy, sz = (float(v) for v in b.scale)
    marrow, bone = b.hu("marrow"), b.hu("cortical")
    pitch = np.float32(35 * sz)
    bend = np.float32(b.rng.uniform(2, 5))

    def local(y: Array, z: Array) -> tuple[Array, Array]:
        y = np.asarray(y + np.float32(48 * sy) - bend * np.cos((z + 20) / 70), np.float32)
        return y, np.asarray((z + pitch / 2) % pitch - pitch / 2, np.float32)

    def body(x: Array, y: Array, z: Array) -> Array:
        y, z = local(y, z)
        k = np.sqrt((x / 23.5) ** 2 + (y / 17.5) ** 2)
        waist = 2.5 * (1 - (z / 14) ** 2)
        return np.asarray(np.maximum((k - 1) * 19 + waist, np.abs(z) - (pitch / 2 - 4)), np.float32)

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

    def canal(x: Array, y: Array, z: Array) -> Array:
        y, _ = local(y, z)
        return np.asarray(np.sqrt(x * x + (y + 26) ** 2) - 9.5, np.float32)

    low, high = np.array([-40, -115, -1e4]) * [1, sy, 1], np.array([40, -20, 1e4])
    for side in (-1, 1):
        line = ((20, -42, 40, 4), (29, -46, 5, 9), (36, -44, -50, 13), (44, -36, -160, 17))
        b.add(
            "muscle",
            b.vessel(*[(side * x, y, z, r) for x, y, z, r in line]),
            Tissue(b.hu("muscle"), texture=5),
            1.5,
        )
        crus = [
            (side * 10 - 6, -24, -10, 3),
            (side * 13 - 6, -20, 40, 4.5),
            (side * 15 - 6, -14, 120, 4),
        ]
        b.add("muscle", b.vessel(*crus), Tissue(b.hu("muscle")), 1)
    b.add("spine", Shape(low, high, disc), Tissue(85, texture=5))
    b.add("spine", Shape(low, high, arch), Tissue(marrow + 90, bone, 1.5))
    b.add("spine", Shape(low, high, body), Tissue(marrow, bone, 1.8, texture=12, grain=6))
    b.add("background", Shape(low, high, canal), Tissue(25, FAT, 1.5))
    centre = 8 * sy * b.visceral
    a = np.array([cavity.high[0] + 1, (cavity.high[1] - cavity.low[1]) / 2 + 1])
    for side in (-1, 1):
        for k in range(7):
            end = (0.7, 1.3, 1.9, 2.2, 2.3, 2.4, 2.5)[k]
            t = np.linspace(0.25, end, 14)
            fall = (62 + 4 * k) * (1 - np.cos(t * 1.1)) / 1.5
            power = 2 / 2.3
            x = side * a[0] * np.sin(t) ** power
            y = centre - a[1] * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
            rib = np.stack([x, y, (38 + 29 * k) * sz - fall], 1)
            b.add("ribs", tube(curve(rib, 8), 5.0), Tissue(marrow + 40, bone, 1.5))


def _solid_organs(b: _Builder, cavity: Shape, domes: Shape, apart: Distance) -> tuple[Shape, ...]:
    """Liver with its vessels, gallbladder, spleen and kidneys; returns them all."""
    sz = float(b.scale[2])
    under = inset(domes, 2)
    slope, tip = b.rng.uniform(0.8, 1.0), b.rng.uniform(-65, -30) * sz

    def visceral(x: Array, y: Array, z: Array) -> Array:
        steep = tip + slope * (108 - x) - 0.25 * y - z
        return np.asarray(steep / np.sqrt(1 + slope**2 + 0.06), np.float32)

    right = b.blob((62, 4, 36), (66, 84, 102))
    left = b.blob((-8, 42, 66), (66, 36, 42), tilt=-0.2)
    limits = (inset(cavity, 2), under, visceral, apart)
    kidneys = []
    for x, y, z, side in ((63, -38, -12, 1), (-62, -37, 6, -1)):
        shape = within(
            b.blob((x, y, z), (24, 28, 54), turn=side * 0.5, tilt=side * 0.18), apart, blend=6
        )
        kidneys.append(shape)
    liver = grown(within(union(right, left, blend=30), *limits, blend=9), b.ripple(55, 1.0), 2)
    b.add("liver", liver, Tissue(b.hu("liver"), texture=3, grain=9))
    branches: list[list[tuple[float, ...]]] = [
        [(30, 6, 38, 7), (50, 12, 50, 6), (72, 0, 58, 4), (92, -12, 62, 2)],
        [(50, 12, 50, 5), (70, 25, 52, 3.5), (88, 35, 45, 2)],
        [(50, 12, 50, 5), (66, 10, 75, 3.5), (84, 6, 92, 2)],
        [(34, 10, 46, 5), (10, 38, 66, 4), (-14, 48, 70, 2)],
        [(24, -6, 100, 6), (48, 5, 88, 5), (80, 0, 78, 2)],
        [(24, -6, 100, 6), (36, 24, 88, 5), (44, 48, 70, 2)],
        [(24, -6, 100, 5), (6, 26, 88, 4), (-12, 46, 82, 2)],
        [(60, 4, 82, 3), (78, -30, 70, 2), (90, -40, 50, 1.5)],
    ]
    for line in branches:
        b.add(
            "liver",
            within(b.vessel(*line, jitter=2.5), inset(liver, 3)),
            Tissue(b.hu("portal_vein")),
        )
    bile = b.add(
        "gallbladder",
        within(b.blob((58, 44, -2), (13, 25, 15), tilt=0.3), apart, blend=5),
        Tissue(b.hu("bile"), b.hu("wall"), 1.5),
        1,
    )
    spleen = b.blob((-88, -28, 54), (29, 47, 55), turn=-0.35, tilt=0.15)
    spleen = within(spleen, inset(cavity, 2), under, apart, blend=10)
    b.add("spleen", spleen, Tissue(b.hu("spleen"), texture=3), 1.5)
    for name, shape in zip(("right_kidney", "left_kidney"), kidneys, strict=True):
        side = 1 if name == "right_kidney" else -1
        b.add(name, shape, Tissue(b.hu("medulla"), b.hu("cortex"), 7), 6)
        centre = (shape.low + shape.high) / 2 + [-side * 17, 8, 0]
        b.add("background", ellipsoid(centre, (15, 8, 22), side * 0.5), Tissue(FAT))
    return liver, bile, spleen, kidneys[0], kidneys[1]


def _great_vessels(b: _Builder) -> None:
    aorta = b.rng.uniform(8.5, 11)
    left = b.rng.uniform(5, 10)
    b.add(
        "aorta",
        b.vessel(
            (-left - 4, -22, 170, aorta + 1),
            (-left, -16, 60, aorta),
            (-left, -18, -20, aorta - 1),
            (-2, -20, -80, aorta - 2),
        ),
        Tissue(b.hu("aorta"), b.hu("wall"), 1),
        1.5,
    )
    for side in (-1, 1):
        b.add(
            "aorta",
            b.vessel((-2, -20, -78, 6), (side * 20, -18, -110, 5.5), (side * 38, -20, -160, 5)),
            Tissue(b.hu("aorta")),
        )
    cava = b.rng.uniform(9, 12)
    line = b.vessel(
        (20, -22, -150, cava),
        (19, -22, -60, cava),
        (20, -18, 0, cava),
        (24, -12, 60, cava + 1),
        (24, -6, 105, cava + 1),
        (18, 5, 140, cava),
    )
    b.add("vena_cava", line, Tissue(b.hu("vena_cava")))
    for side, (x, z) in ((1, (54, -6)), (-1, (-50, 4))):
        mid = ((side * 34, -24, z, 4.5),)
        end = ((16, -10, -2, 4.5),) if side > 0 else ((-14, -8, 2, 4.5), (14, -8, 0, 4.5))
        b.add("vena_cava", b.vessel((x, -30, z, 4), *mid, *end), Tissue(b.hu("vena_cava")), 0.5)
        b.add(
            "aorta",
            b.vessel((-left, -18, 6, 3), (side * 30, -30, 2, 3), (x, -34, z, 2.5)),
            Tissue(b.hu("aorta")),
        )


def _pancreas(b: _Builder) -> tuple[NDArray[np.float64], Shape]:
    """The centreline, head to tail (x, y, z, radius in mm), and the gland of the volume drawn."""
    lift, arch = b.rng.uniform(-8, 10), b.rng.uniform(-3, 6)
    line = b.at(
        (38, 6, -16, 13),
        (32, 10, -6, 12.5),
        (19, 17 + arch / 2, 2, 9.5),
        (0, 22 + arch, 10, 10),
        (-24, 17 + arch, 20 + 0.5 * lift, 10.5),
        (-50, 4, 30 + lift, 10),
        (-70, -10, 39 + lift, 6.5),
        jitter=1.8,
    )
    line[:, 3] *= b.rng.uniform(0.9, 1.1, len(line))
    line = curve(line, 5)
    head, r = line[0, :3], line[0, 3]
    hook = curve(
        [
            [*(head + p), r * k]
            for p, k in (
                ((1, 3, 15), 0.8),
                ((0, 0, 0), 1),
                ((-1, -1, -17), 0.9),
                ((-15, -7, -19), 0.55),
            )
        ],
        5,
    )
    coarse, fine = b.ripple(24, 0.9), b.ripple(11, 0.7)

    def gland(scale: float) -> Shape:
        whole = union(
            tube(line[:, :3], line[:, 3] * scale, 20),
            tube(hook[:, :3], hook[:, 3] * scale, 20),
            blend=4,
        )
        return grown(whole, lambda x, y, z: coarse(x, y, z) + fine(x, y, z), 3.5)

    target, scale = b.rng.uniform(33, 114) * 1000, 1.0
    for _ in range(5):  # the volume grows with about the radius to the 2.1
        scale *= (target / _volume(gland(scale))) ** (1 / 2.1)
    pancreas = gland(scale)
    return np.column_stack([line[:, :3], line[:, 3] * scale]), pancreas


def _volume(shape: Shape, step: float = 2.5) -> float:
    """Volume in cubic millimetres, by antialiased occupancy on a lattice of `step` mm."""
    x, y, z = (
        np.arange(lo, hi + step, step, dtype=np.float32)
        for lo, hi in zip(shape.low, shape.high, strict=True)
    )
    total = 0.0
    for part in np.array_split(z, max(1, len(z) // 6)):
        d = shape.distance(x[None, None, :], y[None, :, None], part[:, None, None])
        total += float(np.clip(0.5 - d / step, 0, 1).sum(dtype=np.float64))
    return total * step**3


def _stomach_and_colon(b: _Builder, cavity: Shape, domes: Shape, apart: Distance) -> Shape:
    """Stomach and colon; returns the stomach."""
    rng, wall = b.rng, b.hu("wall")
    keep = (inset(cavity, 4), inset(domes, 5), apart)
    size = rng.uniform(0.75, 1.15)
    line = b.at(
        (-48, -4, 92, 26 * size),
        (-52, 10, 66, 32 * size),
        (-44, 36, 38, 26 * size),
        (-20, 50, 14, 21 * size),
        (14, 50, 6, 16 * size),
        (36, 38, 8, 9),
        jitter=3,
    )
    level = float(rng.uniform(25, 52)) * float(b.scale[1])
    stomach = within(
        grown(tube(curve(line)[:, :3], curve(line)[:, 3], 15), b.ripple(35, 1.2), 3), *keep, blend=8
    )
    b.add("stomach", stomach, Tissue(b.oral, wall, 4.0, level), 2)
    frame = b.at(
        (88, 0, -170), (92, 0, -110), (94, 4, -62), (84, 30, -52), (50, 60, -58), (0, 66, -66),
        (-50, 62, -40), (-92, 24, 18),
        (-102, -6, 0), (-104, -18, -50), (-100, -14, -110), (-86, -6, -170), jitter=4,
    )  # fmt: skip
    colon = curve(frame, 5)
    t = np.arange(len(colon)) * 5
    calibre = (
        rng.uniform(14, 19)
        * (1 + 0.13 * np.sin(t / 4.5))
        * (1 + 0.15 * np.sin(t / 60 + rng.uniform(0, 6)))
    )
    calibre *= np.where(t > 0.62 * t[-1], 0.7, 1)
    b.add(
        "colon",
        within(tube(colon, calibre), inset(cavity, 3), apart, blend=4),
        Tissue(-60, wall, 2.5, 22.0, 90, 13),
        1.5,
    )

    b.colon = colon
    return stomach


def _bowel(
    b: _Builder,
    cavity: Shape,
    pancreas: Shape,
    solid: tuple[Shape, ...],
    duodenum: NDArray[np.float64],
) -> None:
    """Loops of small bowel where there is room, every other one a decoy, and small vessels."""
    rng, wall = b.rng, b.hu("wall")
    root = curve(
        b.at((10, 18, -10), (8, 22, -45), (4, 32, -100), (2, 40, -140))
    )  # the mesenteric vessels run here
    taken = np.vstack([b.colon[::2], curve(duodenum)[:, :3], root])
    kept = 0

    def free(point: NDArray[np.float64], radius: float) -> bool:
        x, y, z = point.astype(np.float32).reshape(3, 1, 1, 1)
        return bool(
            cavity.distance(x, y, z) < -radius
            and pancreas.distance(x, y, z) > radius + 4
            and all(s.distance(x, y, z) > radius - 1 for s in solid)
        )

    for trial in range(200):
        low = trial % 3 != 0
        place = (
            rng.uniform((-88, -12, -125), (82, 70, -22))
            if low
            else rng.uniform((-98, -8, -45), (-20, 62, 20))
        )
        radius, heading, path = (
            rng.uniform(10, 14),
            rng.normal(0, (1, 0.6, 0.6)),
            np.empty((0, 3)),
        )
        wish = int(rng.integers(4, 14))
        options = (place * b.scale)[None]
        while len(path) < wish:  # the loop grows by 8 mm at a time, until nothing is free
            others = np.vstack([taken, path[:-3]])
            apart = ((options[:, None] - others) ** 2).sum(-1).min(1) > (radius + 9.5) ** 2
            options = options[apart & ((options[:, 1] > 4) | (np.abs(options[:, 0]) > 55))]
            step = next((point for point in options if free(point, radius)), None)
            if step is None:
                break
            if len(path):
                heading = step - path[-1]
            path = np.vstack([path, step])
            turns = (
                heading / np.linalg.norm(heading)
                + rng.normal(0, 1, (12, 3)) * np.linspace(0.25, 0.8, 12)[:, None]
            )
            options = path[-1] + 8 * turns / np.linalg.norm(turns, axis=1, keepdims=True)
        if len(path) < 4:
            continue
        taken = np.vstack([taken, path])
        name, tissue = _content(b, kept, wall, float(path[:, 1].mean()) + radius * 0.2)
        t = np.arange(len(path))
        profile = (
            radius
            * (1 + 0.15 * np.sin(t * 0.8 + rng.uniform(0, 6)))
            * np.where((t == 0) | (t == t[-1]), 0.8, 1)
        )
        loop = curve(np.column_stack([path, profile]), 5)
        shape = grown(tube(loop[:, :3], loop[:, 3]), b.ripple(22, 0.8), 3)
        b.add(name, within(shape, inset(cavity, 3)), tissue, 1.0)
        kept += 1
        if kept == 24:
            break
    for _ in range(26):  # mesenteric branches
        start = rng.uniform((-60, 10, -120), (50, 45, -10))
        path = b.at(
            (*start, 1.6),
            (*(start + rng.normal(0, 14, 3)), 1.3),
            (*(start + rng.normal(0, 24, 3)), 1.0),
        )
        b.add(
            "background",
            within(vessel(*path), clear_of(pancreas, 6), inset(cavity, 5)),
            Tissue(b.hu("portal_vein")),
        )


def _content(b: _Builder, index: int, wall: float, level: float) -> tuple[str, Tissue]:
    """Every other loop, from the first, is a decoy; the rest hold fluid, oral contrast or gas."""
    if index % 2 == 0:
        return "soft_bowel", Tissue(b.hu("pancreas"), texture=6)
    kind = b.rng.choice(["fluid", "oral", "gas"])
    content = {"fluid": 18.0, "oral": max(b.oral, 150.0), "gas": 10.0}[str(kind)]
    return "bowel", Tissue(content, wall, 2.5, level if kind == "gas" else None, 4)


def _duodenum_line(b: _Builder) -> NDArray[np.float64]:
    return b.at(
        (38, 38, 8, 11), (52, 26, 8, 12), (61, 8, -8, 12), (62, 4, -34, 12), (50, 2, -56, 12),
        (20, -1, -62, 11), (-12, -1, -60, 11),
        (-34, 6, -44, 11), (-38, 14, -22, 11), jitter=2,
    )  # fmt: skip


def _vessels_along(b: _Builder, line: NDArray[np.float64]) -> None:
    """Mesenteric, splenic and portal vessels, placed by the pancreas they run along."""
    trunk, radius = line[:, :3], line[:, 3:]
    at_neck = int(np.argmin(np.abs(trunk[:, 0] - 16 * b.scale[0])))
    behind = np.array([[0, -1.0, -0.15]]) * (radius + 2.0)  # the vein is half sunk into the gland
    vein = trunk[at_neck:] + behind[at_neck:]
    confluence = vein[0] + (0, -1, -1)
    hilum = b.at((-82, -26, 48))
    artery = b.hu("aorta")
    root = b.at((-8, -12, 20))[0]
    low = confluence + (-20, -2, -14)
    b.add(
        "aorta",
        tube(
            curve(np.array([root, low + (0, 0, 12), low + (0, 8, -34), low + (-4, 24, -90)])), 3.6
        ),
        Tissue(artery),
        2,
    )
    smv = np.array(
        [
            confluence,
            confluence + (-2, 2, -25),
            confluence + (-4, 12, -60),
            confluence + (-8, 26, -110),
        ]
    )
    blood = Tissue(b.hu("portal_vein"))
    b.add("portal_vein", tube(curve(smv), 5.5), blood, 1)
    portal = np.array(
        [
            confluence,
            (confluence + b.at((31, 6, 38))[0]) / 2 + (0, -3, 2),
            b.at((31, 6, 40))[0],
            b.at((46, 11, 49))[0],
        ]
    )
    b.add("portal_vein", tube(curve(portal), 6.5), blood)
    b.add("portal_vein", tube(curve(np.vstack([confluence, vein[2::3], hilum])), 4.2), blood, 0.5)
    above = trunk[at_neck::3] + np.array([0, -0.5, 0.95]) * (radius[at_neck::3] + 3.5)
    b.add(
        "aorta",
        tube(curve(np.vstack([b.at((-8, -12, 30)), above, hilum + (0, 0, 6)])), 2.3),
        Tissue(artery),
    )
