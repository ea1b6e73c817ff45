"""Calibration of a bundle's probabilities and volumes, on cases that did not train it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.find import is_shipped
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.datalist import Case, first_file
from monai_attn.datasets.ignore import find_ignore
from monai_attn.datasets.masks import structure_of, uses_masks
from monai_attn.datasets.references import check_reference, read_reference
from monai_attn.datasets.scan_names import scan_names
from monai_attn.datasets.splits import read_split
from monai_attn.inference.views import GREY, further_views
from monai_attn.io.channels import as_image, open_image
from monai_attn.io.errors import Faults, ScanWarning
from monai_attn.io.files import make_writable
from monai_attn.metrics.calibration import (
    Confidence,
    VoxelSample,
    fit_temperature,
    nll,
    reliability,
)
from monai_attn.metrics.volume_intervals import RATE, count_covered, fit_factor, interval
from monai_attn.training.config_files import read_config, write_config
from monai_attn.training.run_folder import SPLIT
from monai_attn.training.voxel_sampler import VoxelSampler

LOGITS = 2**24  # numbers kept for all cases together: 64 MiB
SEED = 0
HARMLESS = 1.5  # largest mean volume error of a mirror image, in multiples of the plain view's
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


@dataclass(frozen=True)
class Calibration:
    """Confidence of a bundle, and the measured cases that show how good it is.

    Attributes:
        confidence: the one fitted on the measured cases, or the bundle's own.
        measured: measurements of the cases.
    """

    confidence: Confidence
    measured: Measurements

    @property
    def before_and_after(self) -> dict[str, tuple[float, float]]:
        """The negative log-likelihood and the calibration errors, at temperature 1 and at the fitted one."""
        sample, doubtful = self.measured.sample, self.measured.sample.doubtful
        own = self.confidence.temperature
        return {
            "nll": (nll(sample), nll(sample, own)),
            "ece": (reliability(sample).ece, reliability(sample, own).ece),
            "ece_doubtful": (reliability(doubtful).ece, reliability(doubtful, own).ece),
        }

    def count_covered(self, label: int) -> tuple[int, int] | None:
        """Count the intervals that hold the true volume, and all intervals; None without a factor."""
        factor = self.confidence.factors.get(label)
        if factor is None or not self.measured.views_ml:
            return None
        truths, views = volumes_of(label, self.measured, self.confidence.flip_axes)
        return count_covered(truths, [interval(volumes, factor) for volumes in views]), len(truths)


def calibrate(
    bundle: str | Path,
    data: str | Path | None = None,
    *,
    labels: Sequence[str] = (),
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    device: str = "auto",
    intervals: bool = False,
    check: bool = False,
    on_case: OnCase = lambda done, total: None,
) -> tuple[Bundle, Calibration]:
    """Fit a bundle's temperature and intervals on labelled cases, and write them into the bundle.

    `configs/inference.json` gets the values, `configs/metadata.json` what they were fitted on. No label
    depends on them.

    Args:
        bundle: as for `open_bundle`.
        data: as for `find_cases`; by default the validation cases of the bundle's own training.
        labels: the structure whose masks are the label maps, such as `["1=pancreas"]`, if `data` has a mask
            for each. It stands for the bundle's label of that name, unless `classes` says another.
        classes: the label of each value in the label files, where they are not those that the bundle was
            trained with; a value that is not named is background.
        ignore: the value in the label files of voxels that count nowhere. By default the one that `data`
            declares, or else, without `classes`, the one that the bundle was trained with.
        device: as for `open_bundle`.
        intervals: fit the intervals too: every scan is segmented in 7 or 8 views.
        check: measure how well the bundle's own values do, and write nothing.
        on_case: called after each case with the number of cases done and the total.

    Raises:
        ValueError: if a shipped bundle is named and not found by its path, its configs cannot be written,
            there are no cases, none holds a label, one holds a value that stands for no label, one
            cannot be segmented, or a structure is chosen that the bundle or `data` does not have.
    """
    if is_shipped(bundle) and not check:
        raise ValueError(
            f"{bundle}: a shipped bundle cannot be changed. Calibrate a copy, given by its path, or only "
            "check the bundle."
        )
    opened = open_bundle(bundle, device)
    if check:
        opened.check_confidence()
    else:
        make_writable(opened.root / "configs")
    cases = _cases(opened.root, data, labels)
    if labels and not classes:
        classes = _mask_classes(opened, data, labels)
    if data is not None:
        ignore = find_ignore(ignore, data)
    if ignore is None and not classes:
        ignore = opened.ignore
    measured = measure(
        opened, cases, classes=classes, ignore=ignore, intervals=intervals, on_case=on_case
    )
    _check(measured, opened, data)
    own = opened.confidence
    if check:
        return opened, Calibration(own, measured)
    fitted = Calibration(fit(measured, opened), measured)
    _write(opened.root, fitted, opened.weights_sha256)
    return opened, fitted


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


def fit(measured: Measurements, opened: Bundle) -> Confidence:
    """Fit the confidence to measurements; without intervals, flips and factors stay the bundle's own."""
    temperature = fit_temperature(measured.sample)
    if not measured.views_ml:
        return replace(opened.confidence, temperature=temperature)
    labels = sorted(opened.label_names)
    axes = range(len(measured.views_ml[0]) - 1 - len(GREY))
    flips = tuple(axis for axis in axes if all(_harmless(axis, n, measured) for n in labels))
    factors = {}
    for label in labels:
        factor = fit_factor(*volumes_of(label, measured, flips))
        if factor is not None:
            factors[label] = factor
    return Confidence(temperature, flips, factors)


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


def _harmless(axis: int, label: int, measured: Measurements) -> bool:
    """Return True if the volumes of a mirror image are about as good as those of the scan."""
    truths, views = volumes_of(label, measured, [axis])
    errors = np.abs(np.array(views) - np.array(truths)[:, None]) if truths else np.zeros((1, 2))
    return bool(errors[:, -1].mean() <= HARMLESS * errors[:, 0].mean())


def _mask_classes(opened: Bundle, data: str | Path | None, labels: Sequence[str]) -> dict[int, int]:
    """Return the bundle's label of a mask's value 1: that with the name of the chosen structure."""
    name = structure_of(labels)
    numbers = {given: number for number, given in opened.label_names.items()}
    if name not in numbers:
        raise ValueError(
            f"{data}: {name} is no label of the bundle (expected one of {', '.join(numbers)}). Choose one, "
            "or map the value 1 to a label."
        )
    return {1: numbers[name]}


def _cases(root: Path, data: str | Path | None, labels: Sequence[str]) -> list[Case]:
    if labels and (data is None or not uses_masks(Path(data))):
        raise ValueError(
            f"{data or root}: has no mask for each structure, so that none can be chosen (got "
            f"{', '.join(labels)}). Leave the choice out, or map the values of the label files."
        )
    if data is not None:
        cases = find_cases(data, labels)
    elif (root / SPLIT).is_file():
        cases = read_split(root / SPLIT)["validation"]
    else:
        raise ValueError(
            f"{root}: not the folder of a training, so that it has no validation cases. Name a data set "
            "of labelled cases."
        )
    if not cases:
        raise ValueError(
            f"{data or root}: no labelled case (expected one or more). Add labelled cases."
        )
    return cases


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


def _check(measured: Measurements, opened: Bundle, data: str | Path | None) -> None:
    """Check that the measured logits are finite and that a case holds a label."""
    if not np.isfinite(measured.sample.logits).all():
        raise ValueError(
            f"{opened.root}: its network gives logits that are not finite. Train it again."
        )
    if not any(measured.truths_ml):
        names = ", ".join(opened.label_names.values())
        raise ValueError(
            f"{data or opened.root}: no label file has {names} (expected at least one). Check label_map in "
            "the bundle's train.json, which maps values to labels."
        )


def _write(root: Path, fitted: Calibration, weights_sha256: str) -> None:
    """Write the values, and the facts of the fit, into the bundle's configs."""
    confidence, measured = fitted.confidence, fitted.measured
    path = root / "configs" / "inference.json"
    config = read_config(path)
    config["temperature"] = confidence.temperature
    config["interval"] = {
        "flip_axes": list(confidence.flip_axes),
        "factors": {str(label): factor for label, factor in confidence.factors.items()},
    }
    write_config(path, config)
    path = root / "configs" / "metadata.json"
    metadata = read_config(path)
    cases, earlier = list(measured.cases), metadata.get("calibration")
    known = [case for case in cases if case not in measured.partly]
    of_intervals = known if measured.views_ml else []
    if not measured.views_ml and confidence.factors and isinstance(earlier, dict):
        of_intervals = earlier.get("interval_cases", [])  # its factors stay
    metadata["calibration"] = {
        "cases": cases,
        "mode": " and ".join(measured.modes),
        "weights_sha256": weights_sha256,
        "voxels": measured.voxels,
        **{
            name: {"before": round(before, 5), "after": round(after, 5)}
            for name, (before, after) in fitted.before_and_after.items()
        },
        "interval_rate": RATE if confidence.factors else None,
        "interval_cases": of_intervals,
    }
    write_config(path, metadata)
