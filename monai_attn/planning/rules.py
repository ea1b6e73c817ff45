"""Rules that turn a fingerprint into values for training and inference, each with its reason.

The source of the rules is named in `monai_attn.planning.network_choice`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_attn.datasets.channels import Channel, read_channels
from monai_attn.datasets.label_classes import LabelClasses, mapped_labels
from monai_attn.datasets.region_choice import chosen_texts
from monai_attn.datasets.regions import read_regions
from monai_attn.inference.memory import format_memory
from monai_attn.io.files import atomic_write
from monai_attn.planning.fingerprint import Fingerprint
from monai_attn.planning.network_choice import BOTTOM, FINER, WIDEST, NetworkChoice, choose_network
from monai_attn.planning.nnunet_plans import ImportedPlan

MOST_VOXELS = {2: 512**2, 3: 128**3}  # of a window; more adds little
CPU_VOXELS = 96**3  # of a window; a step with more takes a CPU nearly a minute
LEAST_VOXELS = {2: 64**2, 3: 32**3}  # of a window; fewer show no organ
MOST_WINDOWS = {2: 32, 3: 8}  # of a step; with more, an epoch has too few steps
WANTED_WINDOWS = 2  # of a step: batch normalisation is unsteady with one
MOST_SHARE = (
    0.05  # of all voxels that a step may show, as in nnU-Net: with more, cases are memorised
)
CONTEXT = 0.5  # of the foreground's HU range, added on either side for fat and vessels around it
LOWEST, HIGHEST, ROUND = -1024.0, 2000.0, 10.0  # HU: air, dense bone, rounding of the window
KEYS = ("reasons",)  # that every plan has
NESTED = (*KEYS, "fingerprint")  # keys of a plan that are no overrides
NARROWEST = 100.0  # HU; less would be only noise


@dataclass(frozen=True)
class BundleDefaults:
    """Values that a plan takes over from its bundle.

    Attributes:
        classes: the bundle's classes.
        spatial_dims: dimensions of the network, 2 or 3.
        num_samples: windows of a case.
        deep_supervision: number of coarser levels with a head of their own.
        channels: its channels; none for one CT.
        slice_channels: slices that a 2D network sees.
        ignore: value of voxels that counted nowhere in its training, if there was one.
    """

    classes: LabelClasses
    spatial_dims: int = 3
    num_samples: int = 2
    deep_supervision: int = 2
    channels: tuple[Channel, ...] = ()
    slice_channels: int = 1
    ignore: int | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """Values for a bundle's configs.

    Attributes:
        overrides: plain values, by config id.
        reasons: one sentence each, by config id.
        fingerprint: fingerprint of the data set, from which they follow.
        labels: the choice of classes, as `choose_classes` takes it; empty for those of the bundle.
        step_bytes: memory of a training step.
        cache_bytes: disk space of the preprocessed cases.
    """

    overrides: Mapping[str, Any]
    reasons: Mapping[str, str]
    fingerprint: Fingerprint
    labels: tuple[str, ...]
    step_bytes: int
    cache_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return the overlay: the overrides, with `labels`, `reasons` and `fingerprint`."""
        return {
            **self.overrides,
            **({"labels": list(self.labels)} if self.labels else {}),
            "reasons": dict(self.reasons),
            "fingerprint": self.fingerprint.as_json(),
        }


def read_bundle_defaults(bundle: Path) -> BundleDefaults:
    """Read the values that a plan takes over from a bundle's configs, as plain JSON.

    Raises:
        ValueError: if a config is missing, or has no network or no classes.
    """
    configs = []
    for name in ("train", "metadata"):
        file = bundle / "configs" / f"{name}.json"
        try:
            configs.append(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{file}: cannot be read as JSON (expected a config of a bundle that can be trained). "
                "Choose another bundle."
            ) from error
    train, metadata = configs
    network = train.get("network_def", {})
    if network.get("spatial_dims") not in (2, 3):
        raise ValueError(
            f"{bundle}: invalid network_def#spatial_dims in its train.json (got "
            f"{network.get('spatial_dims')!r}, expected 2 or 3). Choose another bundle."
        )
    try:
        names = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        regions = read_regions(train.get("regions"))
        label_map = mapped_labels(train["num_classes"], train["label_map"], regions)
        numbers = range(train["num_classes"]) if regions is None else (0, *regions.labels)
        classes = LabelClasses(tuple(names[str(number)] for number in numbers), label_map, regions)
    except KeyError as error:
        raise ValueError(
            f"{bundle}: {error} is not in its configs (expected num_classes, label_map and a name for "
            "each class). Choose another bundle."
        ) from error
    return BundleDefaults(
        classes=classes,
        spatial_dims=network["spatial_dims"],
        num_samples=int(train.get("num_samples", BundleDefaults.num_samples)),
        deep_supervision=int(network.get("deep_supervision", 0)),
        channels=read_channels(train.get("channels")),
        slice_channels=int(train.get("slice_channels", 1)),
        ignore=train.get("ignore"),
    )


def make_plan(
    fingerprint: Fingerprint, memory: int, base: BundleDefaults, *, on_cpu: bool = False
) -> TrainingPlan:
    """Choose the values that suit a data set and the available memory.

    Args:
        fingerprint: fingerprint of the data set.
        memory: bytes that a training step may hold.
        base: values of the bundle that is trained.
        on_cpu: whether training runs on a CPU: windows are then smaller, so that a step is not too slow.

    Raises:
        ValueError: if the memory is too little for one step with one small window, or the scans are too
            small for a network.
    """
    dims, classes = base.spatial_dims, fingerprint.classes.channels
    inputs = max(1, len(fingerprint.channels)) * base.slice_channels
    choice = _largest(fingerprint, memory, dims, MOST_VOXELS[dims], inputs)
    slow = on_cpu and math.prod(choice.roi_size) > CPU_VOXELS
    if slow:
        choice = _largest(fingerprint, memory, dims, CPU_VOXELS, inputs)
    windows = _windows(choice, fingerprint, memory)
    samples = min(base.num_samples, windows)
    batch = max(
        1, min(windows // samples, fingerprint.cases - max(1, round(fingerprint.cases / 5)))
    )
    step = choice.step_bytes(batch * samples, classes)
    values = {
        **_grid(choice, fingerprint, slow),
        **_intensities(fingerprint, inputs),
        **_network(choice, base),
        "batch_size": (batch, f"cases in a step, which takes {format_memory(step)}"),
        "num_samples": (samples, "windows of each case"),
    }
    labels: tuple[str, ...] = ()
    if fingerprint.classes != base.classes:
        values |= _classes(fingerprint.classes)
        labels = _chosen_labels(fingerprint.classes)
    if fingerprint.ignore is not None:
        values["ignore"] = (
            fingerprint.ignore,
            "voxels of this value in the label files are left out everywhere",
        )
    return TrainingPlan(
        overrides={name: value for name, (value, _) in values.items()},
        reasons={name: reason for name, (_, reason) in values.items()},
        fingerprint=fingerprint,
        labels=labels,
        step_bytes=step,
        cache_bytes=choice.cache_bytes(fingerprint.cases),
    )


def write_plan(plan: TrainingPlan | ImportedPlan, path: str | Path) -> Path:
    """Write a plan as an overlay for a bundle's configs, whole or not at all, one value a line."""
    text = _object({k: v if k in NESTED else json.dumps(v) for k, v in plan.as_json().items()})
    with atomic_write(path) as file:
        file.write(f"{text}\n".encode())
    return Path(path)


def _largest(
    fingerprint: Fingerprint, memory: int, dims: int, voxels: int, inputs: int
) -> NetworkChoice:
    """Return the choice with the largest window, up to `voxels` voxels, whose step fits the memory."""
    for choice, windows in _candidates(fingerprint, dims, voxels, inputs):
        need = choice.step_bytes(windows, fingerprint.classes.channels)
        if need <= memory:
            return choice
    raise ValueError(
        f"memory (={format_memory(memory)}) is too little for a training step with one window of "
        f"{_by(choice.roi_size)} voxels (expected {format_memory(1.05 * need)} or more). Allow more "
        "memory, or train on another machine."
    )


def _candidates(
    fingerprint: Fingerprint, dims: int, voxels: int, inputs: int
) -> Iterator[tuple[NetworkChoice, int]]:
    """Yield choices with ever smaller windows, and how many must fit: two, or one of the smallest."""
    while voxels > LEAST_VOXELS[dims]:
        yield choose_network(fingerprint, voxels, dims, inputs), WANTED_WINDOWS
        voxels = int(voxels * FINER)
    yield choose_network(fingerprint, LEAST_VOXELS[dims], dims, inputs), 1


def _windows(choice: NetworkChoice, fingerprint: Fingerprint, memory: int) -> int:
    """Return the number of windows in a step, at least one, by memory and size of the data set."""
    dims, size = len(choice.roi_size), math.prod(choice.roi_size)
    wanted = MOST_SHARE * fingerprint.cases * math.prod(choice.grid) / size
    without_windows, with_one = (
        choice.step_bytes(count, fingerprint.classes.channels) for count in (0, 1)
    )
    fitting = (memory - without_windows) // (with_one - without_windows)
    return max(1, min(MOST_WINDOWS[dims], fitting, max(WANTED_WINDOWS, int(wanted))))


def _grid(
    choice: NetworkChoice, fingerprint: Fingerprint, slow: bool
) -> dict[str, tuple[Any, str]]:
    spacing, roi = choice.spacing, choice.roi_size
    spacing_reason = "median of the cases"
    medians = np.median(fingerprint.spacings, axis=0)
    if choice.coarsened:
        finest = min(spacing[: len(roi)])
        spacing_reason = f"{spacing_reason}, but {finest:g} or more: else a window sees too little"
    elif any(mm < median - 0.01 for mm, median in zip(spacing, medians, strict=True)):
        spacing_reason = f"{spacing_reason}; their 10th percentile along the coarse axis"
    covered = np.multiply(roi, spacing[: len(roi)]).round()
    box = fingerprint.structure_mm[: len(roi)].round()
    size_reason = f"{_by(covered)} mm; a typical structure has {_by(box)}"
    if slow:
        size_reason = f"{size_reason}; more would be slow on a CPU"
    return {"spacing": (list(spacing), spacing_reason), "roi_size": (list(roi), size_reason)}


def _intensities(fingerprint: Fingerprint, inputs: int) -> dict[str, tuple[Any, str]]:
    """Return the window of a CT; or the channels, and how many of them the network takes."""
    if not fingerprint.channels:
        return {"intensity_range": _intensity_range(fingerprint.hu)}
    channels, reasons = [], []
    for channel, values in zip(fingerprint.channels, fingerprint.values, strict=True):
        if channel.scaling is None:
            window, why = _intensity_range(values)
            channels.append(replace(channel, scaling=(window[0], window[1])))
            reasons.append(f"{channel.name}: {why}")
        else:
            channels.append(channel)
            reasons.append(str(channel))
    return {
        "channels": ([channel.content() for channel in channels], "; ".join(reasons)),
        "network_def#in_channels": (inputs, "each channel, in each slice that the network sees"),
    }


def _intensity_range(hu: Mapping[float, float]) -> tuple[list[float], str]:
    """Return the 0.5th to 99.5th percentile of the foreground's HU, widened by half on either side."""
    low, high = hu[0.5], hu[99.5]
    margin = max(CONTEXT * (high - low), (NARROWEST - (high - low)) / 2)
    window = [
        max(LOWEST, math.floor((low - margin) / ROUND) * ROUND),
        min(HIGHEST, math.ceil((high + margin) / ROUND) * ROUND),
    ]
    if window[1] - window[0] < NARROWEST:  # the foreground lies outside the range of CT
        window = [min(window[0], HIGHEST - NARROWEST), max(window[1], LOWEST + NARROWEST)]
    return (
        window,
        f"{low:.0f} to {high:.0f} inside the labels (99 %), and half of it on either side",
    )


def _network(choice: NetworkChoice, base: BundleDefaults) -> dict[str, tuple[Any, str]]:
    bottom = [
        n // math.prod(steps)
        for n, steps in zip(choice.roi_size, zip(*choice.strides, strict=True), strict=True)
    ]
    strides = [step[0] if len(set(step)) == 1 else list(step) for step in choice.strides]
    levels = len(choice.channels)
    uneven = any(isinstance(step, list) for step in strides)
    halved = "a coarse or short axis is left as it is" if uneven else "every axis is halved"
    return {
        "network_def#channels": (
            list(choice.channels),
            f"{levels} levels, as the window allows; doubled each time, up to {WIDEST}",
        ),
        "network_def#strides": (
            strides,
            f"{halved}; {_by(bottom)} voxels remain, {BOTTOM} or more along an axis",
        ),
        "network_def#deep_supervision": (
            max(0, min(base.deep_supervision, levels - 2)),
            "coarser levels with a head of their own in training",
        ),
    }


def _classes(classes: LabelClasses) -> dict[str, tuple[Any, str]]:
    label_map = {str(value): number for value, number in classes.label_map.items()}
    return {
        "num_classes": (classes.channels, _listed(classes)),
        "label_map": (label_map, "the labels as chosen"),
    }


def _listed(classes: LabelClasses) -> str:
    if classes.regions is None:
        return ", ".join(classes.names)
    return f"{', '.join(classes.names[1:])}: structures that overlap, with a sigmoid each"


def _chosen_labels(classes: LabelClasses) -> tuple[str, ...]:
    """Return the choice, as for `choose_labels`, that gives these classes in their order."""
    if classes.regions:
        return chosen_texts(classes)
    values = sorted(classes.label_map, key=lambda value: (classes.label_map[value], value))
    names = {value: classes.names[classes.label_map[value]] for value in values}
    return tuple(f"{value}={names[value]}" for value in values if classes.label_map[value])


def _object(entries: Mapping[str, Any], indent: str = "    ") -> str:
    """Format JSON of values that are JSON already, or of objects, with each entry on a line."""
    lines = []
    for name, value in entries.items():
        if not isinstance(value, str):
            value = _object({k: json.dumps(v) for k, v in value.items()}, indent + "    ")
        lines.append(f"{indent}{json.dumps(name)}: {value}")
    return "{\n" + ",\n".join(lines) + f"\n{indent[4:]}}}"


def _by(sizes: Any) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
