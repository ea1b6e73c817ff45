"""Two MR-like sequences of a phantom, which look like MR but are not derived from its physics.

Each HU becomes a brightness of its own in T1 and in T2: fat is bright in both, water only in T2, gas and
dense bone in neither. A smooth shading stands for the coil, and the noise of a magnitude is never below 0.
The unit is arbitrary and differs from case to case, as in MR.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEQUENCES = ("T1", "T2")
HU = (-1024, -300, -110, -60, 5, 30, 60, 110, 180, 300, 600)
BRIGHTNESS = {  # at these HU
    "T1": (0, 0, 950, 900, 200, 420, 520, 560, 480, 350, 60),
    "T2": (0, 0, 750, 700, 980, 620, 420, 360, 300, 260, 40),
}
NOISE = 20.0  # of a largest brightness of 1000
SHADING = 0.25  # by which the brightness varies across the image, on either side


def mr_sequences(image: NDArray[np.int16], seed: int) -> NDArray[np.int16]:
    """Return the sequences (X, Y, Z, 2) of a phantom's image (X, Y, Z) in HU, T1 and T2.

    Args:
        image: (X, Y, Z) HU.
        seed: seed of shading, unit and noise.
    """
    draw = np.random.default_rng([seed, len(SEQUENCES)])
    volumes = []
    for name in SEQUENCES:
        clean = np.interp(image, HU, BRIGHTNESS[name]) * _shading(image.shape, draw)
        noise = draw.normal(0, NOISE, (2, *image.shape))
        magnitude = np.hypot(clean + noise[0], noise[1]) * draw.uniform(0.5, 2.0)
        volumes.append(np.rint(magnitude).astype(np.int16))
    return np.stack(volumes, axis=-1)


def _shading(shape: tuple[int, ...], draw: np.random.Generator) -> NDArray[np.float64]:
    """Return a factor near 1 that changes by a slope along each axis."""
    shading = np.ones(shape)
    for axis, n in enumerate(shape):
        slope = np.linspace(-1, 1, n) * draw.uniform(-SHADING, SHADING)
        shading *= 1 + slope.reshape([n if other == axis else 1 for other in range(len(shape))])
    return shading
