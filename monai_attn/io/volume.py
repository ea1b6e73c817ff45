"""A volume: the voxels of a scan in memory, on their grid."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.grid import Grid


@dataclass(frozen=True)
class Volume(Grid):
    """A scan in memory: its grid and its voxels.

    Attributes:
        data: (X, Y, Z) float32, scaled by the header's slope and intercept: HU for CT.
    """

    data: NDArray[np.float32] = field(repr=False)

    @property
    def grid(self) -> Grid:
        """Grid of the scan, without a reference to its voxels."""
        return Grid(**{part.name: getattr(self, part.name) for part in fields(Grid)})
