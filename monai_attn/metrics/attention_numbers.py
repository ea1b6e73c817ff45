"""Numbers that describe the attention of a gate in a scan, compared with labels.

They are computed from the attention map as it is stored (one byte for each voxel: 0 where the network did
not run, 1 to 255 for alpha = 0 to 1) and a label map on the same grid. Counts of each byte in each label
are enough for all numbers, so that memory follows one layer of the scan and the numbers are those of the
stored map to the last digit.

All sums are over the N voxels on which the network ran ("seen"):

| number | formula |
|---|---|
| seen | N / voxels of the scan |
| mean | sum(alpha) / N |
| dead | fraction of the N with alpha < 0.01 |
| saturated | fraction of the N with alpha > 0.99 |
| entropy | sum(-alpha log2 alpha - (1 - alpha) log2(1 - alpha)) / N, in bits: 1 at 0.5, 0 at 0 and 1 |
| inside | mean alpha in voxels with a label |
| outside | mean alpha in voxels without a label |
| share of a label | sum(alpha in the label) / sum(alpha) |
| volume share of a label | voxels of the label / N |
| enrichment of a label | share / volume share, which is mean alpha in the label / mean alpha |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.regions import Regions
from monai_attn.io.map_encoding import FRACTIONS

DEAD, SATURATED = 0.01, 0.99  # alpha below or above these counts as dead or saturated
BYTES = len(FRACTIONS)
ROUNDED = 6  # decimals in a manifest


@dataclass(frozen=True)
class GateNumbers:
    """The numbers of one gate in one scan; the module's docstring has the formulas.

    A number that does not exist is None: all except `seen` if no voxel was seen, `inside` if there is no
    label, and the shares if the sum of alpha is zero.

    Attributes:
        mean: mean of alpha.
        seen: fraction of the scan's voxels on which the network ran.
        dead: fraction of the seen voxels with alpha < 0.01.
        saturated: fraction of the seen voxels with alpha > 0.99.
        entropy: mean binary entropy of alpha, bits.
        inside: mean of alpha in any label.
        outside: mean of alpha elsewhere.
        shares: fraction of the sum of alpha in each label that occurs; 0 stands for voxels without a label.
        volume_shares: fraction of the seen voxels in each label.
    """

    mean: float | None
    seen: float
    dead: float | None
    saturated: float | None
    entropy: float | None
    inside: float | None
    outside: float | None
    shares: dict[int, float | None]
    volume_shares: dict[int, float | None]

    def enrichment(self, label: int) -> float | None:
        """Return the share of a label in the attention divided by its share of the volume."""
        share, volume = self.shares[label], self.volume_shares[label]
        return share / volume if share is not None and volume else None

    def summary(self) -> dict[str, Any]:
        """Return the values for a manifest: the numbers, rounded, and the share of each label."""
        numbers = {name: _rounded(getattr(self, name)) for name in NUMBERS}
        shares = {str(label): _rounded(part) for label, part in self.shares.items() if label > 0}
        return {**numbers, "shares": shares}


NUMBERS = ("mean", "seen", "dead", "saturated", "entropy", "inside", "outside")


def gate_numbers(
    stored: NDArray[np.uint8], labels: NDArray[np.integer], regions: Regions | None = None
) -> GateNumbers:
    """Compute the numbers of a stored attention map, compared with a label map.

    Args:
        stored: (X, Y, Z) bytes: 0 where the network did not run, else 1 to 255 for 0 to 1.
        labels: (X, Y, Z) whole numbers from 0 on.
        regions: the regions, if labels overlap: then each label's share is that of its whole region.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> stored = np.array([[[0, 1, 255, 255]]], np.uint8)
        >>> numbers = gate_numbers(stored, np.array([[[0, 0, 0, 2]]]))
        >>> numbers.seen, numbers.dead, numbers.inside, numbers.outside, numbers.shares[2]
        (0.75, 0.3333333333333333, 1.0, 0.5, 0.5)
    """
    if stored.shape != labels.shape:
        raise ValueError(
            f"attention {stored.shape} and labels {labels.shape}: shapes do not match. Bring both to one "
            "grid."
        )
    by_label = {label: counts[1:] for label, counts in _joint_histogram(stored, labels).items()}
    alpha = FRACTIONS[1:]
    every = np.sum([*by_label.values()], axis=0)
    inside = every - by_label[0]
    if regions is not None:
        by_label = {0: by_label[0], **_of_regions(by_label, regions)}
    voxels, total = int(every.sum()), float(every @ alpha)
    return GateNumbers(
        mean=_part(total, voxels),
        seen=voxels / max(stored.size, 1),
        dead=_part(every[alpha < DEAD].sum(), voxels),
        saturated=_part(every[alpha > SATURATED].sum(), voxels),
        entropy=_part(every @ _entropy(alpha), voxels),
        inside=_part(inside @ alpha, inside.sum()),
        outside=_part(by_label[0] @ alpha, by_label[0].sum()),
        shares={label: _part(counts @ alpha, total) for label, counts in by_label.items()},
        volume_shares={label: _part(counts.sum(), voxels) for label, counts in by_label.items()},
    )


def _of_regions(
    by_label: dict[int, NDArray[np.int64]], regions: Regions
) -> dict[int, NDArray[np.int64]]:
    """Return the histogram of each region that occurs."""
    parts = {
        label: [by_label[value] for value in values if value in by_label]
        for label, values in regions.values.items()
    }
    return {label: np.sum(several, axis=0) for label, several in parts.items() if several}


def _joint_histogram(
    stored: NDArray[np.uint8], labels: NDArray[np.integer]
) -> dict[int, NDArray[np.int64]]:
    """Count the voxels of each byte in label 0 and in each label that occurs."""
    occurs = np.zeros(int(labels.max(initial=0)) + 1, bool)
    occurs[0] = True
    layers = [*zip(np.moveaxis(stored, -1, 0), np.moveaxis(labels, -1, 0), strict=True)]
    for _, layer in layers:
        occurs[layer.ravel(order="K")] = True
    row = np.cumsum(occurs) - 1
    counts = np.zeros((int(row[-1]) + 1, BYTES), np.int64)
    for values, layer in layers:
        # most voxels have no label: count all of them at once, then those with a label again
        labelled = layer > 0
        pairs = row[layer[labelled]] * BYTES + values[labelled]
        labelled_counts = np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
        counts += labelled_counts
        counts[0] += np.bincount(values.ravel(order="K"), minlength=BYTES) - labelled_counts.sum(
            axis=0
        )
    return {int(label): counts[i] for i, label in enumerate(np.flatnonzero(occurs))}


def _entropy(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the binary entropy in bits; 0 log 0 is 0."""
    parts = np.stack([alpha, 1 - alpha])
    return -(parts * np.log2(parts, out=np.zeros_like(parts), where=parts > 0)).sum(axis=0)


def _part(amount: Any, whole: Any) -> float | None:
    return float(amount) / float(whole) if whole > 0 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, ROUNDED)
