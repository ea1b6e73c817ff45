"""Measurements of labelled cases: what a calibration is fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monai_attn.bundle.bundle import Bundle
from monai_attn.datasets.datalist import Case, first_file
from monai_attn.datasets.references import check_reference, read_reference
from monai_attn.datasets.scan_names import scan_names
from monai_attn.inference.views import GREY, further_views
from monai_attn.io.channels import as_image, open_image
from monai_attn.io.errors import Faults, ScanWarning
from monai_attn.metrics.calibration import VoxelSample
from monai_attn.training.voxel_sampler import VoxelSampler

LOGITS = 2**24  # numbers kept for all cases together: 64 MiB
SEED = 0
OnCase = Callable[[int, int], None]


@dataclass(frozen=True)
class Measurements:
    """Measurements of labelled cases.

    Attributes:
        cases: their names.
        sample: a sample of the voxels that a window saw, on the network's grid.
        voxels: number of the voxels that a window saw.
        truths_ml: for each case the volume in ml of each label in the reference.
        views_ml: for each case, and each view of it, the volume of each predicted label in ml; empty
            without intervals.
        modes: the modes in which the cases were segmented: "focus", "full".
        partly: the names of cases whose reference has ignored voxels: their volumes above are those of the
            known voxels, and not the true ones.
    """

    cases: tuple[str, ...]
    sample: VoxelSample
    voxels: int
    truths_ml: tuple[dict[int, float], ...]
    views_ml: tuple[tuple[dict[int, float], ...], ...] = ()
    modes: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()


def measure(
    opened: Bundle,
    cases: Sequence[Case],
    *,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    intervals: bool = False,
    on_case: OnCase = lambda done, total: None,
) -> Measurements:
    """Segment cases, as the bundle does by default, and collect its logits and volumes.

    From each case as many voxels are drawn, with a fixed seed, as its share of 64 MiB allows: half of
    them doubtful ones, see `VoxelSample.doubtful`, half others. Windows that were skipped are background
    by definition, and left out, as are voxels with the `ignore` value.

    Raises:
        ValueError: as `calibrate`; for wrong grids before the first case is segmented.
    """
    _check_grids(cases)
    dims = len(opened.metadata["network_data_format"]["inputs"]["image"]["spatial_shape"])
    plain = opened.segmenter()
    segmenter = replace(plain, views=further_views(range(dims)) if intervals else ())
    by_image = scan_names([as_image(case["image"]) for case in cases])
    numbers = plain.channels * (2 if plain.decoding.regions else 1)  # see `VoxelSampler.sample`
    share = max(2, LOGITS // (numbers * max(1, len(cases))))
    samples, truths, views, partly, modes, voxels = [], [], [], [], set(), 0
    for done, case in enumerate(cases, 1):
        grid = open_image(case["image"]).grid
        reference = read_reference(case["label"], grid, opened.classes, classes, ignore)
        draw = VoxelSampler(segmenter, grid, reference, share // 2, SEED + done)
        result = segmenter(case["image"], on_slab=draw)
        if result.plan and result.plan.fallback:
            warnings.warn(
                f"{first_file(case)}: full mode: {result.plan.fallback}", ScanWarning, stacklevel=2
            )
        modes.add(result.plan.mode if result.plan else "full")
        samples.append(draw.sample)
        voxels += draw.voxels
        truths.append(draw.truth_ml)
        partly += [] if draw.whole else [by_image[as_image(case["image"])]]
        views.append(result.views_ml)
        on_case(done, len(cases))
    whole = VoxelSample(
        np.concatenate([one.logits for one in samples]),
        np.concatenate([one.labels for one in samples]),
        np.concatenate([one.weights for one in samples]),
    )
    names = tuple(by_image[as_image(case["image"])] for case in cases)
    views_ml = tuple(views) if intervals else ()
    return Measurements(
        names, whole, voxels, tuple(truths), views_ml, tuple(sorted(modes)), tuple(partly)
    )


def volumes_of(
    label: int, measured: Measurements, flips: Sequence[int]
) -> tuple[list[float], list[list[float]]]:
    """Return a label's true volume and that of each view, in the cases that have it in either.

    Cases whose reference has ignored voxels are left out: nobody knows their true volumes.

    Args:
        label: above 0.
        measured: with views of every axis.
        flips: the axes whose mirror images count.
    """
    chosen = [*range(1 + len(GREY)), *(1 + len(GREY) + axis for axis in flips)]
    truths, views = [], []
    cases = zip(measured.cases, measured.truths_ml, measured.views_ml, strict=True)
    for case, truth, volumes in cases:
        if case in measured.partly:
            continue
        view_volumes = [volumes[view].get(label, 0.0) for view in chosen]
        if truth.get(label, 0.0) or view_volumes[0]:
            truths.append(truth.get(label, 0.0))
            views.append(view_volumes)
    return truths, views


def _check_grids(cases: Sequence[Case]) -> None:
    """Check by the headers, before hours of work, that all label maps lie on their scans."""
    faults = []
    for case in cases:
        try:
            check_reference(case["label"], case["image"])
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise Faults(*faults)
