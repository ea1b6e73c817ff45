"""The gut: stomach, duodenum, small bowel and colon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .body import Body
from .shapes import Distance, Shape, curve, grown, inset, tube, vessel, within
from .tissue import Tissue

Points = NDArray[np.float64]


def draw_stomach(body: Body, cavity: Shape, domes: Shape, apart: Distance) -> Shape:
    """Draw the stomach with fluid and gas above it, and return its shape."""
    size = body.rng.uniform(0.75, 1.15)
    line = body.at(
        (-48, -4, 92, 26 * size),
        (-52, 10, 66, 32 * size),
        (-44, 36, 38, 26 * size),
        (-20, 50, 14, 21 * size),
        (14, 50, 6, 16 * size),
        (36, 38, 8, 9),
        jitter=3,
    )
    level = float(body.rng.uniform(25, 52)) * float(body.scale[1])
    line = curve(line)
    stomach = grown(tube(line[:, :3], line[:, 3], 15), body.ripple(35, 1.2), 3)
    stomach = within(stomach, inset(cavity, 4), inset(domes, 5), apart, blend=8)
    body.add("stomach", stomach, Tissue(body.oral, body.hu("wall"), 4.0, level), 2)
    return stomach


def draw_colon(body: Body, cavity: Shape, apart: Distance) -> Points:
    """Draw the colon around the abdomen, and return its centreline (n, 3)."""
    frame = body.at(
        (88, 0, -170), (92, 0, -110), (94, 4, -62), (84, 30, -52), (50, 60, -58), (0, 66, -66),
        (-50, 62, -40), (-92, 24, 18),
        (-102, -6, 0), (-104, -18, -50), (-100, -14, -110), (-86, -6, -170), jitter=4,
    )  # fmt: skip
    line = curve(frame, 5)
    t = np.arange(len(line)) * 5  # mm along the colon
    calibre = body.rng.uniform(14, 19) * (1 + 0.13 * np.sin(t / 4.5))  # haustra
    calibre *= 1 + 0.15 * np.sin(t / 60 + body.rng.uniform(0, 6))
    calibre *= np.where(t > 0.62 * t[-1], 0.7, 1)  # the descending colon is narrower
    colon = within(tube(line, calibre), inset(cavity, 3), apart, blend=4)
    body.add("colon", colon, Tissue(-60, body.hu("wall"), 2.5, 22.0, 90, 13), 1.5)
    return line


def duodenum_of(body: Body) -> Points:
    """Return the points (x, y, z, radius), mm, of the duodenum, a C around the head of the pancreas."""
    return body.at(
        (38, 38, 8, 11), (52, 26, 8, 12), (61, 8, -8, 12), (62, 4, -34, 12), (50, 2, -56, 12),
        (20, -1, -62, 11), (-12, -1, -60, 11),
        (-34, 6, -44, 11), (-38, 14, -22, 11), jitter=2,
    )  # fmt: skip


def draw_duodenum(body: Body, duodenum: Points) -> None:
    """Draw the duodenum through its points."""
    tissue = Tissue(body.hu("duodenum"), body.hu("wall"), 2.5, texture=4)
    body.add("duodenum", grown(vessel(*duodenum), body.ripple(20, 1.0), 3), tissue, 1)


def draw_bowel(
    body: Body,
    cavity: Shape,
    pancreas: Shape,
    solid: tuple[Shape, ...],
    colon: Points,
    duodenum: Points,
) -> None:
    """Draw up to 24 loops of small bowel where there is room; every second one resembles the pancreas.

    Args:
        body: gets the loops.
        cavity: holds them.
        pancreas: kept at a distance.
        solid: stomach and solid organs; a loop may touch them.
        colon: centreline (n, 3).
        duodenum: points (n, 4).
    """
    rng = body.rng
    # The mesenteric vessels run here.
    root = curve(body.at((10, 18, -10), (8, 22, -45), (4, 32, -100), (2, 40, -140)))
    taken = np.vstack([colon[::2], curve(duodenum)[:, :3], root])
    kept = 0

    def free(point: Points, radius: float) -> bool:
        x, y, z = point.astype(np.float32).reshape(3, 1, 1, 1)
        return bool(
            cavity.distance(x, y, z) < -radius
            and pancreas.distance(x, y, z) > radius + 4
            and all(shape.distance(x, y, z) > radius - 1 for shape in solid)
        )

    for trial in range(200):
        low, high = (-88, -12, -125), (82, 70, -22)
        if trial % 3 == 0:  # on the left, up to the tail of the pancreas
            low, high = (-98, -8, -45), (-20, 62, 20)
        start = rng.uniform(low, high) * body.scale
        radius = rng.uniform(10, 14)
        path = _path(rng, start, radius, taken, free)
        if len(path) < 4:
            continue
        taken = np.vstack([taken, path])
        t = np.arange(len(path))
        name, tissue = _content(body, kept % 2 == 0, float(path[:, 1].mean()) + radius * 0.2)
        profile = radius * (1 + 0.15 * np.sin(t * 0.8 + rng.uniform(0, 6)))
        profile *= np.where((t == 0) | (t == t[-1]), 0.8, 1)
        line = curve(np.column_stack([path, profile]), 5)
        loop = grown(tube(line[:, :3], line[:, 3]), body.ripple(22, 0.8), 3)
        body.add(name, within(loop, inset(cavity, 3)), tissue, 1.0)
        kept += 1
        if kept == 24:
            break


def _path(
    rng: np.random.Generator,
    start: Points,
    radius: float,
    taken: Points,
    free: Callable[[Points, float], bool],
) -> Points:
    """Grow the points (n, 3) of a loop in steps of 8 mm, until it is long enough or has no room left."""
    heading = rng.normal(0, (1, 0.6, 0.6))
    wish = int(rng.integers(4, 14))
    path, options = np.empty((0, 3)), start[None]
    while len(path) < wish:
        others = np.vstack([taken, path[:-3]])  # its last three points are always near
        apart = ((options[:, None] - others) ** 2).sum(-1).min(1) > (radius + 9.5) ** 2
        # In front of the great vessels and the spine, or next to them.
        options = options[apart & ((options[:, 1] > 4) | (np.abs(options[:, 0]) > 55))]
        step = next((point for point in options if free(point, radius)), None)
        if step is None:
            break
        if len(path):
            heading = step - path[-1]
        path = np.vstack([path, step])
        # Straight on is preferred, so later options bend more.
        bend = rng.normal(0, 1, (12, 3)) * np.linspace(0.25, 0.8, 12)[:, None]
        turns = heading / np.linalg.norm(heading) + bend
        options = path[-1] + 8 * turns / np.linalg.norm(turns, axis=1, keepdims=True)
    return path


def _content(body: Body, decoy: bool, level: float) -> tuple[str, Tissue]:
    """Choose the name and tissue of a loop: like the pancreas, or with fluid, oral contrast or gas."""
    if decoy:
        return "soft_bowel", Tissue(body.hu("pancreas"), texture=6)
    kind = str(body.rng.choice(["fluid", "oral", "gas"]))
    content = {"fluid": 18.0, "oral": max(body.oral, 150.0), "gas": 10.0}[kind]
    return "bowel", Tissue(content, body.hu("wall"), 2.5, level if kind == "gas" else None, 4)
