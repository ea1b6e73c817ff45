"""Arteries and veins: the great vessels, those along the pancreas, and small ones in the mesentery."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .body import Body
from .shapes import Shape, clear_of, curve, inset, tube, within
from .tissue import Tissue


def draw_great_vessels(body: Body) -> None:
    """Draw aorta and vena cava with the vessels of pelvis and kidneys."""
    aorta = body.rng.uniform(8.5, 11)  # radius, mm
    left = body.rng.uniform(5, 10)  # mm left of the midline at the height of the kidneys
    line = body.vessel(
        (-left - 4, -22, 170, aorta + 1),
        (-left, -16, 60, aorta),
        (-left, -18, -20, aorta - 1),
        (-2, -20, -80, aorta - 2),
    )
    arterial, venous = Tissue(body.hu("aorta")), Tissue(body.hu("vena_cava"))
    body.add("aorta", line, Tissue(body.hu("aorta"), body.hu("wall"), 1), 1.5)
    for side in (-1, 1):
        iliac = ((-2, -20, -78, 6), (side * 20, -18, -110, 5.5), (side * 38, -20, -160, 5))
        body.add("aorta", body.vessel(*iliac), arterial)
    cava = body.rng.uniform(9, 12)
    line = body.vessel(
        (20, -22, -150, cava),
        (19, -22, -60, cava),
        (20, -18, 0, cava),
        (24, -12, 60, cava + 1),
        (24, -6, 105, cava + 1),
        (18, 5, 140, cava),
    )
    body.add("vena_cava", line, venous)
    for side, (x, z) in ((1, (54, -6)), (-1, (-50, 4))):
        end = ((16, -10, -2, 4.5),) if side > 0 else ((-14, -8, 2, 4.5), (14, -8, 0, 4.5))
        vein = body.vessel((x, -30, z, 4), (side * 34, -24, z, 4.5), *end)
        body.add("vena_cava", vein, venous, 0.5)
        artery = body.vessel((-left, -18, 6, 3), (side * 30, -30, 2, 3), (x, -34, z, 2.5))
        body.add("aorta", artery, arterial)


def draw_mesenteric_twigs(body: Body, cavity: Shape, pancreas: Shape) -> None:
    """Draw short thin vessels in the fat between the loops of bowel."""
    rng = body.rng
    for _ in range(26):
        start = rng.uniform((-60, 10, -120), (50, 45, -10))
        twig = body.vessel(
            (*start, 1.6),
            (*(start + rng.normal(0, 14, 3)), 1.3),
            (*(start + rng.normal(0, 24, 3)), 1.0),
        )
        twig = within(twig, clear_of(pancreas, 6), inset(cavity, 5))
        body.add("background", twig, Tissue(body.hu("portal_vein")))


def draw_vessels_along(body: Body, centreline: NDArray[np.float64]) -> None:
    """Draw the mesenteric, splenic and portal vessels along the pancreas.

    Args:
        body: gets the vessels.
        centreline: of the pancreas, head to tail (x, y, z, radius), mm.
    """
    trunk, radius = centreline[:, :3], centreline[:, 3:]
    neck = int(np.argmin(np.abs(trunk[:, 0] - 16 * body.scale[0])))
    behind = np.array([[0, -1.0, -0.15]]) * (radius + 2.0)  # the vein is half sunk into the gland
    above = np.array([0, -0.5, 0.95]) * (radius + 3.5)
    vein = (trunk + behind)[neck:]
    confluence = vein[0] + (0, -1, -1)
    mesenteric_root, splenic_root = body.at((-8, -12, 20), (-8, -12, 30))
    below_porta, porta, in_liver = body.at((31, 6, 38), (31, 6, 40), (46, 11, 49))
    hilum = body.at((-82, -26, 48))[0]  # of the spleen
    arterial, portal = Tissue(body.hu("aorta")), Tissue(body.hu("portal_vein"))

    low = confluence + (-20, -2, -14)
    line = [mesenteric_root, low + (0, 0, 12), low + (0, 8, -34), low + (-4, 24, -90)]
    body.add("aorta", tube(curve(line), 3.6), arterial, 2)
    line = [confluence + step for step in ((0, 0, 0), (-2, 2, -25), (-4, 12, -60), (-8, 26, -110))]
    body.add("portal_vein", tube(curve(line), 5.5), portal, 1)
    line = [confluence, (confluence + below_porta) / 2 + (0, -3, 2), porta, in_liver]
    body.add("portal_vein", tube(curve(line), 6.5), portal)
    line = [confluence, *vein[2::3], hilum]
    body.add("portal_vein", tube(curve(line), 4.2), portal, 0.5)
    line = [splenic_root, *(trunk + above)[neck::3], hilum + (0, 0, 6)]
    body.add("aorta", tube(curve(line), 2.3), arterial)
