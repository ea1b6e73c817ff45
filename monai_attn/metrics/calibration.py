"""Calibration of probabilities: its measures, and the temperature that improves it.

If a calibrated network gives some voxels a probability of 0.8, four in five of them are labelled right.
Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599)
divides all logits by one number T, fitted on cases that were not used for training. It changes no label:
the largest logit stays the largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

RANGE = (0.1, 10.0)  # of temperatures; fully trained networks lie between 0.5 and 4
BINS = 15  # as in Guo et al.
DOUBTFUL = (0.01, 0.99)  # foreground probabilities that count as doubtful
Array = NDArray[np.floating]


@dataclass(frozen=True)
class Confidence:
    """The result of calibrating a network.

    Attributes:
        temperature: divisor of the logits; 1 changes nothing.
        flip_axes: the spatial axes of a window along which it can be mirrored.
        factors: half-width of the interval of each label, in spreads; see `volume_intervals`.
    """

    temperature: float = 1.0
    flip_axes: tuple[int, ...] = ()
    factors: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class VoxelSample:
    """Voxels drawn from scans, and the number of voxels that each represents.

    Attributes:
        logits: (N, K) float32.
        labels: (N,) the true class of each voxel.
        weights: (N,) above 0.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.integer]
    weights: NDArray[np.float64]

    @property
    def doubtful(self) -> VoxelSample:
        """The voxels whose foreground probability, before scaling, lies between 0.01 and 0.99.

        Nearly all of a scan is clear background. The voxels are selected by the network's output, not by
        the reference: on voxels selected by the reference even correct probabilities look wrong.
        """
        foreground = 1 - softmax(self.logits.astype(np.float64), axis=1)[:, 0]
        part = (foreground >= DOUBTFUL[0]) & (foreground <= DOUBTFUL[1])
        return VoxelSample(self.logits[part], self.labels[part], self.weights[part])


def nll(sample: VoxelSample, temperature: float = 1.0) -> float:
    """Return the mean negative log-likelihood of the labels, in nats; 0 for no voxels.

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
    """Return the temperature with the smallest negative log-likelihood.

    Args:
        sample: voxels of cases that were not used for training.

    Returns:
        Between 0.1 and 10, to four decimals; 1 if no voxel is labelled wrong, since then every
        probability would look too small, or if no temperature is better than 1.
    """
    if (sample.logits.argmax(axis=1) == sample.labels).all():
        return 1.0
    low, high = np.log(RANGE)
    minimum = minimize_scalar(
        lambda power: nll(sample, np.exp(power)), bounds=(low, high), method="bounded"
    )
    temperature = round(float(np.exp(minimum.x)), 4)
    return temperature if nll(sample, temperature) < nll(sample) else 1.0


def at_edge(temperature: float) -> bool:
    """Return whether a fitted temperature lies at an end of the range, where the fit was cut off.

    Example:
        >>> at_edge(9.9999), at_edge(1.2)
        (True, False)
    """
    return any(math.isclose(temperature, end, rel_tol=0.01) for end in RANGE)


@dataclass(frozen=True)
class Reliability:
    """Predicted probability and accuracy, in bins of the probability of the predicted label.

    Attributes:
        confidence: (bins,) the mean probability in each bin; 0 in an empty bin.
        accuracy: (bins,) the fraction of the voxels in the bin that is labelled right.
        share: (bins,) the fraction of all voxels that lies in the bin.
    """

    confidence: Array
    accuracy: Array
    share: Array

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy, over all voxels."""
        return float((self.share * np.abs(self.confidence - self.accuracy)).sum())


def reliability(sample: VoxelSample, temperature: float = 1.0, bins: int = BINS) -> Reliability:
    """Sort voxels by the probability of their label (Naeini et al. 2015; Guo et al. 2017).

    Args:
        sample: the voxels.
        temperature: divisor of their logits.
        bins: number of bins of equal width in 0..1.

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
