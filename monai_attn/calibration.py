"""Whether probabilities are what they say, and the temperature that brings them nearer to it.

Of the voxels to which a calibrated network gives a probability of 0.8, four in five are what it says.
Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599)
divides all logits by one number T, fitted on cases that did not train. It changes no label: the largest
logit stays the largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

RANGE = (0.1, 10.0)  # of temperatures; networks that train to their end lie within 0.5 and 4
BINS = 15  # as in Guo et al.
DOUBTFUL = (0.01, 0.99)  # foreground probabilities that count as doubtful
Array = NDArray[np.floating]


@dataclass(frozen=True)
class Confidence:
    """What calibration found of a network.

    Attributes:
        temperature: by which its logits are divided; 1 changes nothing.
        flip_axes: the spatial axes of a window along which it can be mirrored.
        factors: for each label how many spreads its interval reaches, see `monai_attn.intervals`.
    """

    temperature: float = 1.0
    flip_axes: tuple[int, ...] = ()
    factors: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class VoxelSample:
    """Voxels drawn from scans, and how many each stands for.

    Attributes:
        logits: (N, K) float32.
        labels: (N,) the class that each voxel is.
        weights: (N,) above 0.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.integer]
    weights: NDArray[np.float64]

    @property
    def doubtful(self) -> VoxelSample:
        """Those whose foreground probability, unscaled, lies from 0.01 to 0.99.

        Nearly all of a scan is background that nobody doubts. The part is chosen by what the network
        says, not by the reference: of a part chosen by the reference even true probabilities look wrong.
        """
        foreground = 1 - softmax(self.logits.astype(np.float64), axis=1)[:, 0]
        part = (foreground >= DOUBTFUL[0]) & (foreground <= DOUBTFUL[1])
        return VoxelSample(self.logits[part], self.labels[part], self.weights[part])


def nll(sample: VoxelSample, temperature: float = 1.0) -> float:
    """The mean negative log-likelihood of the labels, in nats; 0 for no voxels.

    Example:
        >>> even = VoxelSample(np.zeros((1, 2), np.float32), np.array([1]), np.ones(1))
        >>> round(nll(even), 4)
        0.6931
    """
    if not len(sample.labels):
        return 0.0
    logits = sample.logits.astype(np.float64) / temperature
    own = np.take_along_axis(logits, sample.labels[:, None].astype(int), axis=1)[:, 0]
    return float(np.average(logsumexp(logits, axis=1) - own, weights=sample.weights))


def fit_temperature(sample: VoxelSample) -> float:
    """The temperature with the least negative log-likelihood.

    Args:
        sample: from cases that did not train.

    Returns:
        Within 0.1 and 10, to four digits; 1 where no voxel is labelled wrong, which would make any
        probability look too small, and where nothing is better than 1.
    """
    if (sample.logits.argmax(axis=1) == sample.labels).all():
        return 1.0
    low, high = np.log(RANGE)
    found = minimize_scalar(
        lambda power: nll(sample, np.exp(power)), bounds=(low, high), method="bounded"
    )
    temperature = round(float(np.exp(found.x)), 4)
    return temperature if nll(sample, temperature) < nll(sample) else 1.0


def at_edge(temperature: float) -> bool:
    """Whether a fitted temperature lies at an end of its range, where the fit stops short of it.

    Example:
        >>> at_edge(9.9999), at_edge(1.2)
        (True, False)
    """
    return any(math.isclose(temperature, end, rel_tol=0.01) for end in RANGE)


@dataclass(frozen=True)
class Reliability:
    """What was said and what was so, in bins of the probability of the label that was given.

    Attributes:
        confidence: (bins,) the mean probability in each; 0 in an empty one.
        accuracy: (bins,) the part of the voxels that is labelled right.
        share: (bins,) the part of all voxels that is in each.
    """

    confidence: Array
    accuracy: Array
    share: Array

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean gap between the two, over all voxels."""
        return float((self.share * np.abs(self.confidence - self.accuracy)).sum())


def reliability(sample: VoxelSample, temperature: float = 1.0, bins: int = BINS) -> Reliability:
    """Sort voxels by the probability of their label (Naeini et al. 2015; Guo et al. 2017).

    Args:
        sample: the voxels.
        temperature: by which their logits are divided.
        bins: of equal width, in 0..1.

    Example:
        >>> sure = VoxelSample(np.array([[9, 0], [9, 0]], np.float32), np.array([0, 1]), np.ones(2))
        >>> round(reliability(sure).ece, 2)
        0.5
    """
    chances = softmax(sample.logits.astype(np.float64) / temperature, axis=1)
    top = chances.max(axis=1)
    right = chances.argmax(axis=1) == sample.labels
    place = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    counts, confidence, accuracy = (
        np.bincount(place, sample.weights * values, minlength=bins)
        for values in (np.ones(len(top)), top, right)
    )
    filled = np.maximum(counts, np.finfo(float).tiny)
    total = max(float(counts.sum()), np.finfo(float).tiny)
    return Reliability(confidence / filled, accuracy / filled, counts / total)
