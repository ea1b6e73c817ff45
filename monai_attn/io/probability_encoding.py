"""Storage of probabilities in whole numbers of 16 bits: 0 to 65535 stand for 0 to 1.

NIfTI has no float16, and its float32 takes twice the space. A step of 1/65535 is finer than float16 above
0.03, and a scale in the header lets every reader see fractions. The probabilities of classes add up to 1, so
that the one of the background is the rest and is only computed when it is read or written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ONE = 2**16 - 1
SLOPE = 1 / ONE


@dataclass(frozen=True)
class StoredProbabilities:
    """The probabilities of classes or of regions, which may overlap.

    Attributes:
        steps: (X, Y, Z, K) of type uint16: a channel for each class without the background, or each region.
        of_classes: whether the rest to 1 is the probability of the background, which is then channel 0.

    Example:
        >>> stored = StoredProbabilities(np.full((1, 1, 1, 1), 13107, np.uint16), of_classes=True)
        >>> [round(fraction, 3) for fraction in stored.fractions().ravel().tolist()]
        [0.8, 0.2]
    """

    steps: NDArray[np.uint16]
    of_classes: bool

    @property
    def channels(self) -> int:
        """The number of channels, with the background if there is one."""
        return self.steps.shape[3] + self.of_classes

    def layer(self, channel: int, z: int) -> NDArray[np.uint16]:
        """Return the layer (X, Y) of a channel at index z."""
        if not self.of_classes:
            return self.steps[:, :, z, channel]
        if channel:
            return self.steps[:, :, z, channel - 1]
        # many small classes can round to a sum above 1
        rest = ONE - self.steps[:, :, z].sum(axis=-1, dtype=np.int64)
        return np.clip(rest, 0, ONE).astype(np.uint16)

    def fractions(self) -> NDArray[np.float32]:
        """Return the probabilities (X, Y, Z, channels), 0 to 1."""
        values = np.empty((*self.steps.shape[:3], self.channels), np.float32)
        for channel in range(self.channels):
            for z in range(values.shape[2]):
                values[:, :, z, channel] = self.layer(channel, z)
        values *= np.float32(SLOPE)
        return values
