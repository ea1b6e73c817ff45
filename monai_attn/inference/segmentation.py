"""The results of segmenting one scan: its labels and maps, or an estimate of what it would take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.regions import Regions, region_volumes_ml
from monai_attn.inference.label_measures import Pieces
from monai_attn.inference.result_checks import FailedCheck
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.io.grid import Grid, voxel_ml
from monai_attn.io.probability_encoding import StoredProbabilities
from monai_attn.metrics.calibration import Confidence
from monai_attn.metrics.volume_intervals import interval


@dataclass(frozen=True)
class Segmentation:
    """Labels (X, Y, Z) on the grid of their scan.

    Attributes:
        scan: the scan's grid and file.
        labels: uint8, or uint16 for more than 256 classes.
        attention: the attention (X, Y, Z) of each level with a gate, if requested: 0 where no window ran,
            else 1 to 255 for 0 to 1.
        plan: the windows that ran, if the inferer plans them.
        seconds: duration of each stage.
        entropy: entropy (X, Y, Z) of the probabilities, if requested, stored like attention.
        views_ml: the volume in ml of each label in each view, the plain one first, if there are several.
        confidence: the calibration behind intervals and entropy.
        pieces: the components of each label before the bundle's postprocessing dropped some.
        failed_checks: the checks that the labels did not pass.
        probabilities: the probability of each class or region, if requested.
        regions: the regions in the labels, if they overlap: volumes and checks are of whole regions.
    """

    scan: Grid
    labels: NDArray[np.integer]
    attention: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    plan: WindowPlan | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    entropy: NDArray[np.uint8] | None = None
    views_ml: tuple[dict[int, float], ...] = ()
    confidence: Confidence = field(default_factory=Confidence)
    pieces: dict[int, Pieces] = field(default_factory=dict)
    failed_checks: tuple[FailedCheck, ...] = ()
    probabilities: StoredProbabilities | None = None
    regions: Regions | None = None

    @property
    def intervals_ml(self) -> dict[int, tuple[float, float]]:
        """The lowest and the highest plausible volume in ml of each label; empty without views."""
        labels = {label for view in self.views_ml for label in view} | set(self.confidence.factors)
        return {
            label: interval(
                [view.get(label, 0.0) for view in self.views_ml],
                self.confidence.factors.get(label),
            )
            for label in sorted(labels if self.views_ml else ())
        }

    @property
    def volumes_ml(self) -> dict[int, float]:
        """The volume in millilitres of each label that occurs, without the background."""
        return region_volumes_ml(self.labels, voxel_ml(self.scan.affine), self.regions)


@dataclass(frozen=True)
class ResourceEstimate:
    """The windows, memory and time that segmenting a scan would take.

    Attributes:
        scan: the scan's grid and file.
        plan: the windows that would run.
        memory: peak memory of the whole process, in bytes.
        seconds: duration of all windows, estimated from one.
        device_memory: peak memory of the process on a GPU, in bytes, without CUDA's own; 0 without one.
    """

    scan: Grid
    plan: WindowPlan
    memory: int
    seconds: float
    device_memory: int = 0


class StageClock:
    """The seconds of each stage, added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the duration of a block to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
