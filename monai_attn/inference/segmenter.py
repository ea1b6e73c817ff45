"""Segmentation of one scan with the parts that a bundle defines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer
from monai.transforms import Compose, LoadImaged, SaveImaged
from monai.utils import fall_back_tuple
from numpy.typing import NDArray
from torch import Tensor

from monai_attn.distributed.process_info import read_process_info
from monai_attn.inference.entropy import with_entropy
from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.label_intensity import median_intensities
from monai_attn.inference.label_measures import (
    Pieces,
    content_box,
    count_pieces,
    measure_labels,
)
from monai_attn.inference.locator import Locator
from monai_attn.inference.memory import format_memory, free_memory, used_memory
from monai_attn.inference.result_checks import Expected, FailedCheck, failed_checks
from monai_attn.inference.views import View
from monai_attn.inference.window_plan import WindowPlan, memory_need
from monai_attn.inference.windows import window_grid
from monai_attn.io.errors import OptionError
from monai_attn.io.grid import Grid, same_grid, voxel_ml
from monai_attn.io.labels import volumes_ml
from monai_attn.io.scan import Scan, VolumeScan, open_scan
from monai_attn.io.volume import Volume
from monai_attn.metrics.calibration import Confidence
from monai_attn.metrics.volume_intervals import interval
from monai_attn.transforms.components import Box
from monai_attn.transforms.grids import LabelsOnScanGridd, ResampleRASd, ras_grid
from monai_attn.transforms.monai_io import as_tensor
from monai_attn.transforms.pipelines import ScaleInPlaced, without
from monai_attn.transforms.resample import parallel_axes
from monai_attn.transforms.restore import Slab

OnWindow = Callable[[int, int | None], None]
"""Called with the windows done and the windows in all, None where that is not known."""
OnSlab = Callable[[Slab], None]
Source = str | Path | Scan | Volume


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
        return volumes_ml(self.labels, voxel_ml(self.scan.affine))


@dataclass(frozen=True)
class ResourceEstimate:
    """The windows, memory and time that segmenting a scan would take.

    Attributes:
        scan: the scan's grid and file.
        plan: the windows that would run.
        memory: peak memory of the whole process, in bytes.
        seconds: duration of all windows, estimated from one.
    """

    scan: Grid
    plan: WindowPlan
    memory: int
    seconds: float


@dataclass(frozen=True)
class Segmenter:
    """The preprocessing, windows and postprocessing that segment one scan after the other.

    Args:
        preprocessing: from `image` to the network's input; transforms that load are left out, since
            `open_scan` reads and checks the scan.
        inferer: any MONAI inferer. With `AttentionWindowInferer` and postprocessing that begins with
            `LabelsOnScanGridd` labels are made slab by slab, so that memory follows the slab.
        network: any callable from (B, C, *roi) to logits; or to a tuple of logits and an attention map
            for each of `levels`.
        postprocessing: from logits under `pred` to labels on the scan's grid; transforms that save are
            left out.
        device: device of the network.
        channels: number of channels of the logits.
        levels: the levels whose attention the network returns.
        uncertainty: whether to compute the entropy of the probabilities.
        views: views to run in addition to the plain one; each takes the same time again.
        confidence: result of calibrating the network.
        expected: expected measures of each label.
        memory: bytes that the whole process may hold; by default the memory of the machine, shared
            equally between the ranks that torchrun started on it.
        volume: index of the volume, from 0, in a scan that holds several.
        series: the SeriesInstanceUID of the series, in a DICOM folder that holds several.
        settings: settings of the bundle, the backend and the options, which a manifest records.
    """

    preprocessing: Compose
    inferer: Inferer
    network: Callable[[Tensor], Any]
    postprocessing: Compose
    device: torch.device
    channels: int = 2
    levels: tuple[int, ...] = ()
    uncertainty: bool = False
    views: tuple[View, ...] = ()
    confidence: Confidence = field(default_factory=Confidence)
    expected: Mapping[int, Expected] = field(default_factory=dict)
    memory: int | None = None
    volume: int | None = None
    series: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self,
        source: Source,
        on_window: OnWindow | None = None,
        on_slab: OnSlab | None = None,
    ) -> Segmentation:
        """Segment one scan.

        Args:
            source: a NIfTI file, a folder with a DICOM series, a scan that `open` opened, or a volume.
            on_window: called before the first window and after each.
            on_slab: called with each slab of logits on the network's grid.

        Raises:
            ValueError: one line that names the file, if it cannot be read, needs more memory than is
                allowed, or its labels are not on its grid.
        """
        clock = _Clock()
        grid, data, content = self._prepare(self.open(source), clock)
        image = data["image"]
        with torch.inference_mode():
            plan = None
            if isinstance(self.inferer, AttentionWindowInferer):
                with clock("plan"):
                    plan = self._plan(grid, image)
            network = self._counted(image, plan, clock, on_window)
            with clock("labels"):
                with_maps = bool(self.levels or self.uncertainty)
                raw, maps = self._outputs(data, plan, network, with_maps, on_slab)
                pieces = count_pieces(raw[0].cpu().numpy())
                labels = self._cleaned(raw, data)
                if labels is None or labels.shape != grid.shape:
                    raise ValueError(
                        f"{grid.path}: the bundle's postprocessing does not return to the scan's grid"
                    )
                failed = failed_checks(
                    measure_labels(labels, grid.affine, content),
                    self.expected,
                    pieces,
                    self._intensities(labels, grid, image),
                )
                views = self._views_ml(data, plan, network, grid, labels)
        clock.seconds["labels"] -= clock.seconds["network"]
        entropy = maps[-1] if self.uncertainty else None
        attention = dict(zip(self.levels, maps[:-1] if self.uncertainty else maps, strict=True))
        return Segmentation(
            grid,
            labels,
            attention,
            plan,
            clock.seconds,
            entropy,
            views,
            self.confidence,
            pieces,
            failed,
        )

    def _intensities(
        self, labels: NDArray[np.integer], scan: Grid, image: MetaTensor
    ) -> dict[int, float]:
        """Return the median HU of each label, if an expected intensity is known for any label."""
        scales = [step for step in self.preprocessing.transforms if isinstance(step, ScaleInPlaced)]
        if not scales or not any(one.intensity_hu for one in self.expected.values()):
            return {}
        affine = np.asarray(image.affine, dtype=np.float64)
        seen = _plain(image)[len(image) // 2]  # the middle one of several slices
        return median_intensities(
            labels, scan.affine, seen, affine, (scales[0].low, scales[0].high)
        )

    def open(self, source: Source) -> Scan:
        """Open a scan, with the segmenter's volume or series; an open one is returned as it is.

        Raises:
            ValueError: as `open_scan`.
        """
        if isinstance(source, Scan):
            return source
        if isinstance(source, Volume):
            return VolumeScan(source)
        return open_scan(source, volume=self.volume, series=self.series)

    def check(self, source: Source) -> Grid:
        """Run all steps before the network: they raise an error, or warn about doubts, as in a call.

        Raises:
            ValueError: as in a call.
        """
        return self._prepare(self.open(source), _Clock())[0]

    def estimate(self, source: Source) -> ResourceEstimate:
        """Estimate what segmenting one scan would take, from the time of one window.

        Raises:
            ValueError: as in a call; and if the bundle's inferer makes no plan.
        """
        if not isinstance(self.inferer, AttentionWindowInferer):
            path = self.open(source).path
            raise ValueError(f"{path}: the bundle's inferer makes no plan; run it to see")
        held = used_memory()
        grid, data, _ = self._prepare(self.open(source), _Clock())
        image = data["image"]
        with torch.inference_mode():
            plan = self._plan(grid, image)
            window = torch.zeros((1, len(image), *plan.roi_size), device=self.device)
            network = self.inferer.on_windows(self.network)
            network(window)  # the first run of a backend is slower and not timed
            self._wait()
            start = time.perf_counter()
            network(window)
            self._wait()
            seconds = time.perf_counter() - start
        seconds *= len(plan.windows) * (1 + len(self.views))
        return ResourceEstimate(grid, plan, held + self._need(grid, plan), seconds)

    def network_grid(self, scan: Grid) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """Return the shape and the affine of the network's grid for a scan."""
        for step in self.preprocessing.transforms:
            if isinstance(step, ResampleRASd):
                return ras_grid(scan.shape, scan.affine, step.spacing)
        return scan.shape, scan.affine

    @property
    def _stitched(self) -> int:
        """The number of channels that are stitched."""
        return self.channels + len(self.levels) + self.uncertainty

    @property
    def _kept(self) -> int:
        """The bytes kept for each voxel of the scan: labels, the labels of a view, and maps."""
        return 1 + bool(self.views) + len(self.levels) + self.uncertainty

    def _prepare(self, scan: Scan, clock: _Clock) -> tuple[Grid, dict[str, Any], Box]:
        """Return the scan's grid, the input under `image`, and the box of the scan without padding.

        The scan's own voxels are not kept.
        """
        self._check_memory(scan)
        with clock("read"):
            volume = scan.read()
            content = content_box(volume.data)
        with clock("prepare"):
            prepare = without(self.preprocessing, LoadImaged)
            image = as_tensor(volume)
            if self.device.type == "cuda":  # then resampling and scaling run on the GPU
                image = image.pin_memory().to(self.device, non_blocking=True)
            data = prepare({"image": image})
            data["image"] = data["image"].to(self.device)
        return volume.grid, data, content

    def _check_memory(self, scan: Scan) -> None:
        """Refuse a scan that would not fit into memory; only its headers are read."""
        if not isinstance(self.inferer, AttentionWindowInferer):
            return
        grid = scan.grid
        size, _ = self.network_grid(grid)
        roi = fall_back_tuple(self.inferer.roi_size, size)
        windows = tuple(window_grid(size, roi, self.inferer.overlap))
        plan = WindowPlan(
            size,
            (0,) * len(size),
            tuple(roi),
            windows,
            len(windows),
            channels=self._stitched,
        ).on_thickest_axis()
        needed, allowed = used_memory() + self._need(grid, plan), self._allowed()
        if needed > allowed:
            raise OptionError(
                f"{grid.path}: takes {format_memory(needed)} of memory (allowed: "
                f"{format_memory(allowed)}). Allow more with ",
                "memory",
                format_memory(needed * 1.05).replace(" ", ""),
                ", or crop the scan.",
            )

    def _plan(self, scan: Grid, image: Tensor) -> WindowPlan:
        """Plan the windows of an image (C, *spatial), in batches that fit into memory."""
        plan = self.inferer.plan(_plain(image)[None], self._stitched)
        if self.device.type == "cuda":
            return plan
        kept = math.prod(scan.shape) * self._kept
        return plan.fitting(self._allowed() - used_memory() - kept)

    def _need(self, scan: Grid, plan: WindowPlan) -> int:
        """Return the bytes of host memory that a scan adds to those of the process at the peak."""
        volumes = self._kept
        if self.device.type == "cuda":  # first the scan and its pinned copy, then the results
            return max(8, volumes) * math.prod(scan.shape)
        _, affine = self.network_grid(scan)
        straight = parallel_axes(np.linalg.inv(affine) @ scan.affine, scan.shape) is not None
        whole = 0 if straight else plan.channels
        need = memory_need(scan.shape, plan.grid, plan, volumes=volumes, whole=whole).peak
        locator = self.inferer.locator if self.inferer.focus else None
        if isinstance(locator, Locator):
            need = max(need, 4 * math.prod(plan.grid) + locator.memory(plan.grid))
        return need

    def _allowed(self) -> int:
        if self.memory is not None:
            return self.memory
        return used_memory() + free_memory() // read_process_info().local_size

    def _wait(self) -> None:
        """Wait until the GPU has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def _steps(self) -> tuple[list[Any], list[Any]]:
        """The postprocessing steps up to labels on the scan's grid, and those that clean the labels."""
        steps = [*without(self.postprocessing, SaveImaged).transforms]
        first = 1 if steps and isinstance(steps[0], LabelsOnScanGridd) else len(steps)
        return steps[:first], steps[first:]

    def _outputs(
        self,
        data: dict[str, Any],
        plan: WindowPlan | None,
        network: Callable[[Tensor], Any],
        with_maps: bool = False,
        on_slab: OnSlab | None = None,
    ) -> tuple[MetaTensor, tuple[NDArray[np.uint8], ...]]:
        """Return the labels (1, X, Y, Z) before they are cleaned, and the stored maps (X, Y, Z)."""
        image = data["image"]
        steps, _ = self._steps
        if plan is not None and len(steps) == 1 and isinstance(steps[0], LabelsOnScanGridd):
            slabs = _finite(self.inferer.slabs(_plain(image), network, plan))
            if on_slab:
                slabs = _shown(slabs, on_slab)
            maps: tuple[NDArray[np.uint8], ...] = ()
            if with_maps:
                if self.uncertainty:
                    slabs = with_entropy(slabs, self.confidence.temperature)
                labels, maps = steps[0].labels_and_maps(slabs, image, plan.axis)
            else:
                labels = steps[0].labels(slabs, image, plan.axis)
            affine = image.meta["original_affine"]
            return MetaTensor(torch.from_numpy(labels)[None], affine=affine), maps
        if self.levels or self.uncertainty or on_slab:
            raise ValueError(
                "the bundle's inferer and postprocessing do not keep maps and logits; "
                "use AttentionWindowInferer and LabelsOnScanGridd"
            )
        pred = self.inferer(image[None], network)[0]
        _check_finite(pred)
        return Compose(steps)({**data, "pred": pred})["pred"], ()

    def _cleaned(self, labels: MetaTensor, data: dict[str, Any]) -> NDArray[np.integer] | None:
        """Return the cleaned labels (X, Y, Z) to write, or None if they are not on the scan's grid."""
        _, steps = self._steps
        labels = Compose(steps)({**data, "pred": labels})["pred"]
        image = data["image"]
        shape, affine = image.meta["spatial_shape"], image.meta["original_affine"]
        if not same_grid(tuple(shape), np.asarray(labels.affine), np.asarray(affine)):
            return None
        found = labels[0].cpu().numpy()
        return found if found.dtype == np.uint8 else found.astype(np.uint16)

    def _views_ml(
        self,
        data: dict[str, Any],
        plan: WindowPlan | None,
        network: Callable[[Tensor], Any],
        scan: Grid,
        plain: NDArray[np.integer],
    ) -> tuple[dict[int, float], ...]:
        """Return the volumes of each view, the plain one first; empty if there is no other view."""
        found = [volumes_ml(plain, voxel_ml(scan.affine))] if self.views else []
        for view in self.views:
            labels = self._cleaned(self._outputs(data, plan, view(network))[0], data)
            found.append(volumes_ml(labels, voxel_ml(scan.affine)) if labels is not None else {})
        return tuple(found)

    def _counted(
        self, image: Tensor, plan: WindowPlan | None, clock: _Clock, on_window: OnWindow | None
    ) -> Callable[[Tensor], Any]:
        """Wrap the network so that it is timed and reports each window."""
        total = None
        if plan is not None:
            total = len(plan.windows) * (1 + len(self.views))
        elif isinstance(self.inferer, SliceInferer):
            total = None  # its windows in three dimensions are only known during a call
        elif isinstance(self.inferer, SlidingWindowInferer):
            total = len(window_grid(image.shape[1:], self.inferer.roi_size, self.inferer.overlap))
            total *= 1 + len(self.views)
        done = 0
        clock.seconds["network"] = 0.0
        if on_window:
            on_window(done, total)

        def network(windows: Tensor) -> Any:
            nonlocal done
            # this does not wait for a GPU, so that its time counts as labels
            with clock("network"):
                logits = self.network(windows)
            done += windows.shape[0]
            if on_window:
                on_window(done, total)
            return logits

        return network


class _Clock:
    """The seconds of each stage, added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def _finite(slabs: Iterator[Slab]) -> Iterator[Slab]:
    for slab in slabs:
        _check_finite(slab.logits)
        yield slab


def _check_finite(logits: Tensor) -> None:
    """Refuse logits that are not finite: their labels would look like a scan with nothing found."""
    if not bool(torch.isfinite(logits).all()):
        raise OptionError(
            "the network's logits are not finite (NaN or infinite). Try ",
            "precision",
            "float32",
            ", or train again.",
        )


def _shown(slabs: Iterator[Slab], on_slab: OnSlab) -> Iterator[Slab]:
    for slab in slabs:
        on_slab(slab)
        yield slab


def _plain(image: Tensor) -> Tensor:
    return image.as_tensor() if isinstance(image, MetaTensor) else image
