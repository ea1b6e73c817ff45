"""What a gate did with a scan, in numbers that can be checked against labels.

They are computed from the attention map as it is stored (one byte for each voxel: 0 where nothing was
looked at, 1 to 255 for alpha = 0 to 1) and a label map on the same grid. How many voxels of each label
hold each byte says all that is needed, so that memory follows one layer of the scan and the numbers are
those of the stored map to the last digit.

With the sums over the voxels that were looked at, N of them:

| number | formula |
|---|---|
| seen | N / voxels of the scan |
| mean | sum(alpha) / N |
| dead | part of the N with alpha < 0.01 |
| saturated | part of the N with alpha > 0.99 |
| entropy | sum(-alpha log2 alpha - (1 - alpha) log2(1 - alpha)) / N, in bits: 1 at 0.5, 0 at 0 and 1 |
| inside | mean alpha where there is any label |
| outside | mean alpha where there is none |
| share of a label | sum(alpha in the label) / sum(alpha) |
| volume share of a label | voxels of the label / N |
| enrichment of a label | share / volume share, which is mean alpha in the label / mean alpha |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_attn.data.fraction_bytes import FRACTIONS

DEAD, SATURATED = 0.01, 0.99  # below, and above, which a coefficient decides nothing
BYTES = len(FRACTIONS)
ROUNDED = 6  # digits that a manifest has


@dataclass(frozen=True)
class GateNumbers:
    """The numbers of one gate in one scan; the module says how they are computed.

    A number that does not exist is None: without a voxel that was looked at all but `seen`, without a
    label `inside`, and the shares of a sum that is zero.

    Attributes:
        mean: mean of alpha.
        seen: fraction of the scan's voxels that were looked at.
        dead: fraction of those with alpha < 0.01.
        saturated: fraction of those with alpha > 0.99.
        entropy: mean binary entropy of alpha, bits.
        inside: mean of alpha in any label.
        outside: mean of alpha elsewhere.
        shares: part of the sum of alpha in each label that occurs; 0 is where there is none.
        volume_shares: part of the voxels in each.
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
        """How many times more of the attention a label has than its volume would by chance."""
        share, volume = self.shares[label], self.volume_shares[label]
        return share / volume if share is not None and volume else None

    def summary(self) -> dict[str, Any]:
        """What a manifest says of it: the numbers, and the share of each label by its number."""
        numbers = {name: _rounded(getattr(self, name)) for name in NUMBERS}
        shares = {str(label): _rounded(part) for label, part in self.shares.items() if label > 0}
        return {**numbers, "shares": shares}


NUMBERS = ("mean", "seen", "dead", "saturated", "entropy", "inside", "outside")


def gate_numbers(stored: NDArray[np.uint8], labels: NDArray[np.integer]) -> GateNumbers:
    """The numbers of a stored attention map against a label map.

    Args:
        stored: (X, Y, Z) bytes: 0 where nothing was looked at, else 1 to 255 for 0 to 1.
        labels: (X, Y, Z) whole numbers from 0 on.

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
            f"attention {stored.shape} and labels {labels.shape}: one shape expected: "
            "bring both to one grid"
        )
    by_label = {label: counts[1:] for label, counts in _joint_histogram(stored, labels).items()}
    alpha = FRACTIONS[1:]
    every = np.sum([*by_label.values()], axis=0)
    inside = every - by_label[0]
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


def _joint_histogram(
    stored: NDArray[np.uint8], labels: NDArray[np.integer]
) -> dict[int, NDArray[np.int64]]:
    """For 0 and each label that occurs, how many of its voxels hold each byte."""
    occurs = np.zeros(int(labels.max(initial=0)) + 1, bool)
    occurs[0] = True
    layers = [*zip(np.moveaxis(stored, -1, 0), np.moveaxis(labels, -1, 0), strict=True)]
    for _, layer in layers:
        occurs[layer.ravel(order="K")] = True
    row = np.cumsum(occurs) - 1
    counts = np.zeros((int(row[-1]) + 1, BYTES), np.int64)
    for values, layer in layers:
        # most voxels have no label: all are counted at once, and those that have one apart
        labelled = layer > 0
        pairs = row[layer[labelled]] * BYTES + values[labelled]
        found = np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
        counts += found
        counts[0] += np.bincount(values.ravel(order="K"), minlength=BYTES) - found.sum(axis=0)
    return {int(label): counts[i] for i, label in enumerate(np.flatnonzero(occurs))}


def _entropy(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """The binary entropy in bits; 0 log 0 is 0."""
    parts = np.stack([alpha, 1 - alpha])
    return -(parts * np.log2(parts, out=np.zeros_like(parts), where=parts > 0)).sum(axis=0)


def _part(amount: Any, whole: Any) -> float | None:
    return float(amount) / float(whole) if whole > 0 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, ROUNDED)
