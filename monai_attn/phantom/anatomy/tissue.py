"""Tissues that fill organs, in Hounsfield units (HU)."""

from __future__ import annotations

from dataclasses import dataclass

PHASES = ("native", "arterial", "portal")
FAT, GAS = -102.0, -950.0

# Mean HU per phase; the pancreas stays 10 to 40 HU away from the soft tissue around it. A body draws
# an offset for each tissue in this order: another order gives another body for the same seed.
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
    texture: float = 0.0  # amplitude, HU
    grain: float = 7.0  # wavelength of the texture, mm
