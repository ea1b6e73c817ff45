"""Segmentation of one scan with the parts that a bundle defines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Compose, SaveImaged
from numpy.typing import NDArray
from torch import Tensor

from monai_attn.datasets.channels import Channel
from monai_attn.datasets.regions import region_volumes_ml
from monai_attn.inference.device_memory import limited_device_memory, used_device_memory
from monai_attn.inference.entropy import with_entropy
from monai_attn.inference.finite_logits import check_finite, finite_slabs
from monai_attn.inference.inferer_windows import Windows, windows_of
from monai_attn.inference.label_intensity import expected_intensities
from monai_attn.inference.label_measures import content_box, count_pieces, measure_labels
from monai_attn.inference.memory import used_memory
from monai_attn.inference.network_input import network_input
from monai_attn.inference.result_checks import Expected, failed_checks
from monai_attn.inference.scan_memory import ScanMemory
from monai_attn.inference.scan_opening import Source, channels_of, open_source
from monai_attn.inference.segmentation import ResourceEstimate, Segmentation, StageClock
from monai_attn.inference.views import View
from monai_attn.inference.watched_network import OnSlab, OnWindow, WatchedNetwork, shown_slabs
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.inference.window_time import time_window
from monai_attn.io.grid import Grid, same_grid, voxel_ml
from monai_attn.io.scan import Scan
from monai_attn.metrics.calibration import Confidence
from monai_attn.transforms.components import Box
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.grids import LabelsOnScanGridd, ResampleRASd, decoding_of, ras_grid
from monai_attn.transforms.monai_io import as_tensor, read_channel_volumes
from monai_attn.transforms.pipelines import without
from monai_attn.transforms.plain_tensor import plain_tensor
from monai_attn.transforms.restore_probabilities import KeptProbabilities


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
        memory: bytes that the whole process may hold, and as many of a GPU's memory; by default the memory
            of the machine, shared equally between the ranks that torchrun started on it.
        volume: index of the volume, from 0, in a scan that holds several.
        series: the SeriesInstanceUID of the series, in a DICOM folder that holds several.
        settings: settings of the bundle, the backend and the options, which a manifest records.
        members: number of networks whose mean `network` returns.
        probabilities: whether to keep the probability of each class or region, at the temperature of
            `confidence`.
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
    members: int = 1
    probabilities: bool = False

    def __call__(
        self,
        source: Source,
        on_window: OnWindow | None = None,
        on_slab: OnSlab | None = None,
    ) -> Segmentation:
        """Segment one scan.

        Args:
            source: a NIfTI file, a folder with a DICOM series, a scan that `open` opened, or a volume; for a
                network of several channels one for each, or one file with four dimensions.
            on_window: called before the first window and after each.
            on_slab: called with each slab of logits on the network's grid.

        Raises:
            ValueError: one line that names the file, if it cannot be read, needs more memory than is
                allowed, or its labels are not on its grid.
        """
        with limited_device_memory(self.device, self.memory):
            return self._segment(self.open(source), on_window, on_slab)

    def _segment(
        self, scan: Scan, on_window: OnWindow | None, on_slab: OnSlab | None
    ) -> Segmentation:
        clock = StageClock()
        grid, data, content = self._prepare(scan, clock)
        image = data["image"]
        with torch.inference_mode():
            with clock("plan"):
                plan = self._plan(grid, image)
            windows = len(plan.windows) if plan else self.windows.count(image.shape[1:])
            total = None if windows is None else windows * (1 + len(self.views))
            network = WatchedNetwork(self.network, clock, on_window, total)
            with clock("labels"):
                with_maps = bool(self.levels or self.uncertainty)
                keep = self._keep(image, plan)
                raw, maps = self._outputs(data, plan, network, with_maps, on_slab, keep)
                regions = self.decoding.regions
                pieces = count_pieces(raw[0].cpu().numpy(), regions)
                labels = self._cleaned(raw, data)
                if labels is None or labels.shape != grid.shape:
                    raise ValueError(
                        f"{grid.path}: the bundle's postprocessing does not return to the scan's grid. "
                        "Correct the postprocessing in its inference.json."
                    )
                failed = failed_checks(
                    measure_labels(labels, grid.affine, content, regions),
                    self.expected,
                    pieces,
                    expected_intensities(
                        labels, grid, image, self.preprocessing, self.expected, regions
                    ),
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
            keep.stored if keep else None,
            regions,
        )

    @cached_property
    def decoding(self) -> Decoding:
        """The way from the network's logits to probabilities and labels."""
        return decoding_of(self.postprocessing)

    @cached_property
    def windows(self) -> Windows:
        """The windows of the inferer."""
        return windows_of(self.inferer)

    def open(self, source: Source) -> Scan:
        """Open a scan, with the segmenter's volume or series; an open one is returned as it is.

        Raises:
            ValueError: as `open_scan`; or if it has not the channels of the network.
        """
        return open_source(source, self.input_channels, volume=self.volume, series=self.series)

    @cached_property
    def input_channels(self) -> tuple[Channel, ...]:
        """The channels that a scan must have."""
        return channels_of(self.preprocessing)

    def check(self, source: Source) -> Grid:
        """Run all steps before the network: they raise an error, or warn about doubts, as in a call.

        Raises:
            ValueError: as in a call.
        """
        return self._prepare(self.open(source), StageClock())[0]

    def estimate(self, source: Source) -> ResourceEstimate:
        """Estimate what segmenting one scan would take, from the time of one window.

        Raises:
            ValueError: as in a call; and if the bundle's inferer makes no plan.
        """
        held, on_device = used_memory(), used_device_memory(self.device)
        grid, data, _ = self._prepare(self.open(source), StageClock())
        image = data["image"]
        with torch.inference_mode():
            plan = self._plan(grid, image)
            if plan is None:
                raise ValueError(
                    f"{grid.path}: the bundle's inferer makes no plan, so that time and memory cannot be "
                    "estimated. Segment the scan without a dry run."
                )
            window = torch.zeros((1, len(image), *plan.roi_size), device=self.device)
            seconds = time_window(self.inferer.on_windows(self.network), window)
        seconds *= len(plan.windows) * (1 + len(self.views))
        need, device_need = held + self.need(grid, plan), on_device + self.device_need(grid, plan)
        return ResourceEstimate(grid, plan, need, seconds, device_need)

    def need(self, scan: Grid, plan: WindowPlan) -> int:
        """Return the bytes that a scan adds to the host's memory of the process at the peak."""
        _, affine = self.network_grid(scan)
        return self.budget.need(scan, affine, plan, self.windows.locator_bytes(plan.grid))

    def device_need(self, scan: Grid, plan: WindowPlan) -> int:
        """Return the bytes that a scan adds to those of the process on a GPU at the peak."""
        _, affine = self.network_grid(scan)
        return self.budget.device_need(scan, affine, plan, self.windows.locator_bytes(plan.grid))

    def network_grid(self, scan: Grid) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """Return the shape and the affine of the network's grid for a scan."""
        for step in self.preprocessing.transforms:
            if isinstance(step, ResampleRASd):
                return ras_grid(scan.shape, scan.affine, step.spacing)
        return scan.shape, scan.affine

    @property
    def budget(self) -> ScanMemory:
        """The memory that a scan needs, and what is allowed."""
        maps = len(self.levels) + self.uncertainty
        kept = self.channels - (self.decoding.regions is None) if self.probabilities else 0
        return ScanMemory(
            self.device,
            self.memory,
            # the probabilities of a whole slab are held while they are resampled
            stitched=self.channels * (1 + self.probabilities) + maps,
            kept=1 + bool(self.views) + maps + 2 * kept,
            inputs=len(self.input_channels),
        )

    def _prepare(self, scan: Scan, clock: StageClock) -> tuple[Grid, dict[str, Any], Box]:
        """Return the scan's grid, the input under `image`, and the box of the scan without padding.

        The scan's own voxels are not kept.
        """
        shape, budget = self.network_grid(scan.grid)[0], self.budget
        if plan := self.windows.plan_of_shape(shape, budget.stitched):
            plan = replace(plan, members=self.members)
            needs = self.need(scan.grid, plan), self.device_need(scan.grid, plan)
            budget.check(scan.grid, *needs)
        with clock("read"):
            volumes = read_channel_volumes(scan, self.input_channels)
            content = content_box(volumes[0].data)
        with clock("prepare"):
            image = as_tensor(*volumes)
            del volumes  # of several channels the image is a copy
            data = network_input(image, self.preprocessing, self.device)
        return scan.grid, data, content

    def _plan(self, grid: Grid, image: Tensor) -> WindowPlan | None:
        """Plan the windows of an image (C, *spatial), in batches that fit into memory."""
        budget = self.budget
        plan = self.windows.plan(plain_tensor(image)[None], budget.stitched)
        return plan and budget.fit(replace(plan, members=self.members), grid)

    @property
    def _steps(self) -> tuple[list[Any], list[Any]]:
        """The postprocessing steps up to labels on the scan's grid, and those that clean the labels."""
        steps = [*without(self.postprocessing, SaveImaged).transforms]
        first = 1 if steps and isinstance(steps[0], LabelsOnScanGridd) else len(steps)
        return steps[:first], steps[first:]

    def _keep(self, image: MetaTensor, plan: WindowPlan | None) -> KeptProbabilities | None:
        """Return what keeps the probabilities of an image's slabs, if they are wanted and can be kept."""
        step = self._steps[0][0]
        if not self.probabilities or plan is None or not isinstance(step, LabelsOnScanGridd):
            return None
        return step.probabilities(image, plan.axis, self.confidence.temperature)

    def _outputs(
        self,
        data: dict[str, Any],
        plan: WindowPlan | None,
        network: Callable[[Tensor], Any],
        with_maps: bool = False,
        on_slab: OnSlab | None = None,
        keep: KeptProbabilities | None = None,
    ) -> tuple[MetaTensor, tuple[NDArray[np.uint8], ...]]:
        """Return the labels (1, X, Y, Z) before they are cleaned, and the stored maps (X, Y, Z)."""
        image = data["image"]
        steps, _ = self._steps
        if plan is not None and len(steps) == 1 and isinstance(steps[0], LabelsOnScanGridd):
            slabs = finite_slabs(self.inferer.slabs(plain_tensor(image), network, plan))
            if on_slab:
                slabs = shown_slabs(slabs, on_slab)
            maps: tuple[NDArray[np.uint8], ...] = ()
            if with_maps:
                if self.uncertainty:
                    slabs = with_entropy(slabs, self.confidence.temperature, self.decoding)
                labels, maps = steps[0].labels_and_maps(slabs, image, plan.axis, keep)
            else:
                labels = steps[0].labels(slabs, image, plan.axis, keep)
            affine = image.meta["original_affine"]
            return MetaTensor(torch.from_numpy(labels)[None], affine=affine), maps
        if self.levels or self.uncertainty or self.probabilities or on_slab:
            raise ValueError(
                "the bundle's inferer and postprocessing do not keep maps and logits; "
                "use AttentionWindowInferer and LabelsOnScanGridd"
            )
        pred = self.inferer(image[None], network)[0]
        check_finite(pred)
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
        ml, regions = voxel_ml(scan.affine), self.decoding.regions
        found = [region_volumes_ml(plain, ml, regions)] if self.views else []
        for view in self.views:
            labels = self._cleaned(self._outputs(data, plan, view(network))[0], data)
            found.append({} if labels is None else region_volumes_ml(labels, ml, regions))
        return tuple(found)
