"""Calibration of a bundle's probabilities and volumes, on cases that did not train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.find import is_shipped
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.datalist import Case
from monai_attn.datasets.ignore import find_ignore
from monai_attn.datasets.listed_splits import read_split
from monai_attn.datasets.masks import structure_of, uses_masks
from monai_attn.inference.views import GREY
from monai_attn.io.files import make_writable
from monai_attn.metrics.calibration import (
    Confidence,
    fit_temperature,
    nll,
    reliability,
)
from monai_attn.metrics.volume_intervals import RATE, count_covered, fit_factor, interval
from monai_attn.training.calibration_measurements import Measurements, OnCase, measure, volumes_of
from monai_attn.training.config_files import read_config, write_config
from monai_attn.training.run_folder import SPLIT

HARMLESS = 1.5  # largest mean volume error of a mirror image, in multiples of the plain view's


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
