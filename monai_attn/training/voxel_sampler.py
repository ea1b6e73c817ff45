"""Voxels drawn from a segmented case, so that the logits of many cases fit into memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.regions import region_volumes_ml
from monai_attn.inference.segmenter import Segmenter
from monai_attn.io.grid import Grid, voxel_ml
from monai_attn.metrics.calibration import DOUBTFUL, VoxelSample
from monai_attn.transforms.resample import resample_onto
from monai_attn.transforms.restore import Slab


class VoxelSampler:
    """Random sample of the known voxels of a case that a window saw: doubtful ones, and others.

    Called with each slab, it gives each voxel a random number and keeps the lowest ones: within each
    kind every voxel has the same chance, however many slabs there are.

    Args:
        segmenter: the segmenter that will segment the case.
        scan: the grid of the case.
        reference: (X, Y, Z) reference labels on that grid; a voxel that holds `IGNORED` is not drawn.
        size: largest number of voxels of each kind to keep.
        seed: seed of the random numbers.

    Attributes:
        truth_ml: the volume of each label among the known voxels of the reference, in ml.
        whole: True if all voxels of the reference are known, so that this is the true volume.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        scan: Grid,
        reference: NDArray[np.integer],
        size: int,
        seed: int,
    ) -> None:
        self.size = size
        self.generator = np.random.default_rng(seed)
        self.decoding = segmenter.decoding
        self.whole = not (reference == IGNORED).any()
        volumes = region_volumes_ml(reference, voxel_ml(scan.affine), self.decoding.regions)
        volumes.pop(IGNORED, None)
        self.truth_ml = volumes
        shape, affine = segmenter.network_grid(scan)
        matrix = np.linalg.inv(scan.affine) @ affine
        self.reference = resample_onto(
            torch.from_numpy(reference)[None], matrix, shape, mode="nearest"
        )[0].numpy()
        self.kinds = {True: _Drawn(), False: _Drawn()}

    def __call__(self, slab: Slab) -> None:
        """Draw voxels from a slab."""
        logits, labels = slab.logits.flatten(1), self.reference[slab.box].ravel()
        foreground = self.decoding.foreground_probability(logits)
        doubtful = ((foreground >= DOUBTFUL[0]) & (foreground <= DOUBTFUL[1])).cpu().numpy()
        seen = np.ones(len(labels), bool)
        if slab.seen is not None:
            seen = slab.seen.flatten().cpu().numpy()
        seen = seen & (labels != IGNORED)
        for kind, drawn in self.kinds.items():
            voxels = np.flatnonzero(seen & (doubtful == kind))
            ranks = self.generator.random(len(voxels), dtype=np.float32)
            lowest = _lowest(ranks, self.size)
            index = torch.from_numpy(voxels[lowest]).to(logits.device)
            sampled = logits[:, index].float().T.cpu().numpy()
            drawn.add(sampled, labels[voxels[lowest]], ranks[lowest], len(voxels), self.size)

    @property
    def voxels(self) -> int:
        """Number of known voxels that a window saw."""
        return sum(kind.count for kind in self.kinds.values())

    @property
    def sample(self) -> VoxelSample:
        """The voxels that were drawn, each with the number of voxels that it stands for.

        Of regions it holds a choice of two for each voxel and region, whose first logit is 0: its softmax is
        the region's sigmoid.
        """
        kinds, regions = [*self.kinds.values()], self.decoding.regions
        drawn = VoxelSample(
            np.concatenate([kind.logits for kind in kinds]),
            np.concatenate([kind.labels for kind in kinds]),
            np.concatenate(
                [np.full(len(kind.labels), kind.count / max(len(kind.labels), 1)) for kind in kinds]
            ),
        )
        if regions is None:
            return drawn
        inside = np.stack([regions.mask(drawn.labels, label) for label in regions.labels], axis=1)
        logits = drawn.logits.ravel()
        return VoxelSample(
            np.stack([np.zeros_like(logits), logits], axis=1),
            inside.ravel().astype(np.uint8),
            np.repeat(drawn.weights, len(regions.labels)),
        )


@dataclass
class _Drawn:
    """Voxels that were drawn so far, and the number that they were drawn from."""

    logits: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    labels: NDArray[np.integer] = field(default_factory=lambda: np.zeros(0, np.uint8))
    ranks: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    count: int = 0

    def add(
        self,
        logits: NDArray[np.float32],
        labels: NDArray[np.integer],
        ranks: NDArray[np.float32],
        count: int,
        size: int,
    ) -> None:
        before = self.logits.reshape(-1, logits.shape[1])
        ranks = np.concatenate([self.ranks, ranks])
        lowest = _lowest(ranks, size)
        self.logits = np.concatenate([before, logits])[lowest]
        self.labels = np.concatenate([self.labels, labels])[lowest]
        self.ranks = ranks[lowest]
        self.count += count


def _lowest(ranks: NDArray[np.float32], size: int) -> NDArray[np.integer]:
    if len(ranks) <= size:
        return np.arange(len(ranks))
    return np.argpartition(ranks, size)[:size]
