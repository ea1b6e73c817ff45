"""The organs of a synthetic abdomen as implicit shapes, in millimetres.

Space: patient space, RAS+. `x` grows to the patient's right, `y` to the front, `z` to the head; the
origin is the middle of the body at the height of the second lumbar vertebra. Positions are those of
an average adult, varied by the seed; nothing is copied from a patient.

A body depends on the order in which its numbers are drawn: moving one draw changes all bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .body import ORGANS, Body, Organ
from .frame import draw_skeleton, draw_thorax, draw_trunk
from .gut import draw_bowel, draw_colon, draw_duodenum, draw_stomach, duodenum_of
from .organs import draw_solid_organs
from .pancreas import pancreas_of
from .shapes import Shape, clear_of, grown
from .tissue import FAT, GAS, PHASES, Tissue
from .vessels import draw_great_vessels, draw_mesenteric_twigs, draw_vessels_along

__all__ = ["FAT", "GAS", "ORGANS", "PHASES", "Anatomy", "Organ", "Tissue", "draw_anatomy"]


@dataclass(frozen=True)
class Anatomy:
    """Organs in painting order (later ones win), the skin's half axes (mm) and the body's pose."""

    organs: tuple[Organ, ...]
    half_axes: tuple[float, float]
    pose: NDArray[np.float64]
    pancreas: Shape


def draw_anatomy(rng: np.random.Generator, phase: str) -> Anatomy:
    """Draw one abdomen.

    Args:
        rng: the only source of random numbers.
        phase: contrast phase, one of `PHASES`.
    """
    body = Body(rng, phase)
    centreline, pancreas = pancreas_of(body)
    apart = clear_of(pancreas, 1.5)
    cavity, half_axes = draw_trunk(body)
    domes = draw_thorax(body, cavity)
    draw_skeleton(body, cavity)
    solid = draw_solid_organs(body, cavity, domes, apart)
    draw_great_vessels(body)
    stomach = draw_stomach(body, cavity, domes, apart)
    colon = draw_colon(body, cavity, apart)
    duodenum = duodenum_of(body)
    draw_bowel(body, cavity, pancreas, (stomach, *solid), colon, duodenum)
    draw_mesenteric_twigs(body, cavity, pancreas)
    # Fat of uneven thickness around the gland: most of its outline is visible, some of it is not.
    gap = body.ripple(50, 1.5)
    bed = grown(pancreas, lambda x, y, z: 2.5 + gap(x, y, z), 6)
    body.add("background", bed, Tissue(FAT))
    draw_duodenum(body, duodenum)
    draw_vessels_along(body, centreline)
    body.add("pancreas", pancreas, Tissue(body.hu("pancreas"), texture=6))
    return Anatomy(tuple(body.organs), half_axes, _pose(rng), pancreas)


def _pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the pose, body to scanner (4, 4), mm: a small turn about z and a small shift in x and y."""
    turn = rng.normal(0, 0.04)
    c, s = np.cos(turn), np.sin(turn)
    pose = np.eye(4)
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[:3, 3] = rng.normal(0, [4, 4, 0])
    return pose
