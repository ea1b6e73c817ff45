"""A body under construction: its size, its grey values and the organs painted so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shapes import Distance, Shape, ellipsoid, ripple, vessel
from .tissue import HU, PHASES, Tissue

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


@dataclass(frozen=True)
class Organ:
    """A shape, its tissue and its label; `halo` mm of fat separate it from the organs painted before."""

    label: int
    shape: Shape
    tissue: Tissue
    halo: float = 0.0


class Body:
    """A body that scales and jitters its organs and collects them in painting order."""

    def __init__(self, rng: np.random.Generator, phase: str) -> None:
        self.rng, self.phase = rng, PHASES.index(phase)
        self.scale = np.array(
            [rng.uniform(0.92, 1.1), rng.uniform(0.94, 1.12), rng.uniform(0.94, 1.06)]
        )
        # Fat inside the cavity moves the wall, not the organs.
        self.visceral = float(rng.uniform(0.93, 1.08))
        self.fat = float(np.clip(rng.gamma(2.6, 6.5), 6, 42))  # subcutaneous, mm at the side
        shift = float(rng.normal(0, 4))  # one enhancement offset for the whole body
        self.offsets = {name: shift + float(rng.normal(0, 1.5)) for name in HU}
        # HU of the fluid in the stomach: water or contrast medium.
        self.oral = float(rng.choice([12.0, 25.0, 240.0, 320.0], p=[0.3, 0.2, 0.3, 0.2]))
        self.organs: list[Organ] = []

    def hu(self, name: str) -> float:
        """Return the mean HU of a tissue in this body and phase."""
        return HU[name][self.phase] + self.offsets[name]

    def at(self, *points: Sequence[float], jitter: float = 0.0) -> NDArray[np.float64]:
        """Scale reference points (mm) to this body; a fourth column (a radius) scales by the mean."""
        p = np.array(points, float)
        p[:, :3] = (p[:, :3] + self.rng.normal(0, 1, (len(p), 3)) * jitter) * self.scale
        p[:, 3:] *= self.scale.mean()
        return p

    def vessel(self, *points: Sequence[float], jitter: float = 0.0) -> Shape:
        """Return a tube through reference points (x, y, z, radius), mm."""
        return vessel(*self.at(*points, jitter=jitter))

    def blob(
        self,
        centre: Sequence[float],
        radii: Sequence[float],
        turn: float = 0,
        tilt: float = 0,
        jitter: float = 3,
    ) -> Shape:
        """Return an ellipsoid of roughly this size, position and orientation."""
        size = self.scale * self.rng.uniform(0.93, 1.08)
        angles = self.rng.normal(0, 0.06, 2) + (turn, tilt)
        return ellipsoid(self.at(centre, jitter=jitter)[0], np.array(radii) * size, *angles)

    def ripple(self, wavelength: float, amplitude: float) -> Distance:
        """Return an irregular field in mm, to roughen a surface."""
        return ripple(wavelength, amplitude, self.rng.uniform(0, 6.28, 3))

    def add(self, name: str, shape: Shape, tissue: Tissue, halo: float = 0.0) -> None:
        """Add an organ, to be painted over those added before."""
        self.organs.append(Organ(ORGANS[name], shape, tissue, halo))
