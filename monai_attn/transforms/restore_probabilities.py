"""Probabilities on the scan's grid, slab by slab, as `restore` does it for labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_attn.io.probability_encoding import ONE, StoredProbabilities
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.restore import Box, OnGrid, Slab, askew, covered, resampled


class KeptProbabilities(OnGrid):
    """The probabilities of the slabs so far, at the bundle's temperature.

    Labels are made of probabilities at temperature 1, resampled to the scan's grid. These are raised to the
    power 1 / temperature there: on the network's grid this is softmax(logits / temperature), and between its
    voxels the largest probability stays the largest. So the labels, before they are cleaned, are the argmax
    of what is kept, or for regions those that are above 0.5.

    Args:
        size, matrix, shape, axis, decoding: as for `labels_on_grid`.
        temperature: see `monai_attn.metrics.calibration`.
    """

    def __init__(
        self,
        size: Sequence[int],
        matrix: NDArray[np.float64],
        shape: Sequence[int],
        axis: int,
        decoding: Decoding,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(size, matrix, shape, axis)
        self.decoding = decoding
        self.power = 1 / temperature
        self.steps: NDArray[np.uint16] | None = None

    @property
    def of_classes(self) -> bool:
        """True if the background is one of the classes."""
        return self.decoding.regions is None

    @property
    def stored(self) -> StoredProbabilities | None:
        """The probabilities; None before the first slab."""
        return None if self.steps is None else StoredProbabilities(self.steps, self.of_classes)

    def add(self, slab: Slab, labels: NDArray[np.integer] | None) -> None:
        """Add the slab that follows the one before.

        Args:
            slab: the slab.
            labels: (X, Y, Z), final where the slab and the one before reach; None for a sheared scan.
        """
        if self.steps is None:  # background where no slab reaches
            channels = len(slab.logits) - self.of_classes
            self.steps = np.zeros((*self.shape, channels), np.uint16, order="F")
        if self.axes is None or labels is None:
            return
        joined = self.joined(slab)
        at = covered(joined.box, self.axes, self.where)
        for box, values in resampled(self.decoding.values(joined.logits), *at) if at else ():
            self._store(box, values, labels)

    def finish(self, labels: NDArray[np.integer], whole: Tensor | None) -> None:
        """Complete the probabilities of a sheared scan from the values (K, *size) of its whole grid."""
        if whole is not None:
            for box, values in askew(whole, self.matrix, self.shape):
                self._store(box, values, labels)

    def _store(self, box: Box, values: Tensor, labels: NDArray[np.integer]) -> None:
        if self.steps is None:
            return
        found = self.decoding.probabilities_of(values, self.power)
        if self.of_classes:
            own = torch.from_numpy(labels[box].astype(np.int64)).to(found.device)
            steps = _like_classes((found[1:] * ONE).round().int(), own)
        else:
            steps = _like_regions((found * ONE).round().int(), values > 0.5)
        self.steps[box] = np.moveaxis(steps.cpu().numpy(), 0, -1)


def _like_classes(steps: Tensor, labels: Tensor) -> Tensor:
    """Move single steps, where rounding made another class, or a tie, the largest instead of the label's.

    Args:
        steps: (classes - 1, *spatial), without the background.
        labels: (*spatial).
    """
    for _ in range(2 + len(steps)):
        largest = torch.cat([ONE - steps.sum(dim=0, keepdim=True), steps]).argmax(dim=0)
        wrong = largest != labels
        if not bool(wrong.any()):
            break
        for index in range(len(steps)):
            steps[index] += (wrong & (labels == index + 1)).int()
            steps[index] -= (wrong & (largest == index + 1)).int()
    return steps


def _like_regions(steps: Tensor, inside: Tensor) -> Tensor:
    """Keep the rounded probability on the side of 0.5 on which the probability is."""
    half = ONE // 2
    return torch.where(inside, steps.clamp(min=half + 1), steps.clamp(max=half))
