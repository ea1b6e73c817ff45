"""Checks of labels against expected values: volume, extent, pieces, intensity, and place in the scan.

A failure of a network is often visible: it labels too little or too much, in pieces, or an organ that the
scan cuts off. These checks find that and report it in words; they cannot find a wrong label of the right
size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from monai_attn.inference.label_measures import LabelMeasures, Pieces

Range = tuple[float, float]
AXES = ("from left to right", "from back to front", "from foot to head")
KEYS = ("volume_ml", "extent_mm", "pieces", "inside", "intensity_hu", "tissue_hu")
PHASE = "(another contrast phase?)"


@dataclass(frozen=True)
class Expected:
    """The expected measures of one label; None if nothing is known.

    Attributes:
        volume_ml: its lowest and highest volume; if the lowest is above 0, the label must occur.
        extent_mm: lowest and highest edge of its bounding box along each of the patient's axes.
        pieces: the highest number of sizeable components, before smaller ones are dropped.
        inside: whether it lies completely inside a scan; a spine never does.
        intensity_hu: lowest and highest median of its `Intensity`.
        tissue_hu: lowest and highest tissue of its `Intensity`.
    """

    volume_ml: Range | None = None
    extent_mm: tuple[Range, ...] | None = None
    pieces: int | None = None
    inside: bool = True
    intensity_hu: Range | None = None
    tissue_hu: Range | None = None

    def content(self) -> dict[str, Any]:
        """Return the plain values for `inference.json`."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Intensity:
    """The intensity of a label and of its surroundings, as the network sees the scan.

    Attributes:
        median: of the label's voxels, HU.
        tissue: upper quartile of the soft tissue in the axial slices that hold the label, HU; None if these
            have no soft tissue. It shows the contrast of the scan, wherever in them the label lies.
    """

    median: float
    tissue: float | None = None


@dataclass(frozen=True)
class FailedCheck:
    """One check that a label did not pass.

    Attributes:
        label: number of the label.
        rule: "nothing found", "volume", "extent", "pieces", "faces", "intensity" or "tissue".
        measured: ml; mm along the three axes; sizeable components; the names of faces; HU.
        expected: the ranges or the number, as in `Expected`; None for faces.
    """

    label: int
    rule: str
    measured: Any
    expected: Any = None


def read_expected(content: Any, num_classes: int) -> dict[int, Expected]:
    """Read `expected` of a bundle's `inference.json`: the expected measures of each label.

    Args:
        content: the values of `Expected`, by the label as a string.
        num_classes: number of classes, background included.

    Raises:
        ValueError: one line, if an entry is not a class or not of this form.

    Example:
        >>> read_expected({"1": {"volume_ml": [35, 320]}}, 2)[1].volume_ml
        (35.0, 320.0)
    """
    try:
        found = {int(label): _expected(values) for label, values in content.items()}
        sound = all(0 < label < num_classes for label in found)
    except (TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise ValueError(
            f"invalid value of expected (got {content!r:.120}; {', '.join(KEYS)} are allowed for classes "
            f"from 1 to {num_classes - 1}, each range as low and high). Correct it."
        )
    return found


def failed_checks(
    measures: Mapping[int, LabelMeasures],
    expected: Mapping[int, Expected],
    pieces: Mapping[int, Pieces],
    intensities: Mapping[int, Intensity] | None = None,
) -> tuple[FailedCheck, ...]:
    """Compare the measures of labels with the expected ones, and return the failed checks.

    Args:
        measures: measures of each label that occurs, after cleaning.
        expected: by label. A label without an entry is only checked for the faces that it touches.
        pieces: components of each label, before smaller ones were dropped.
        intensities: of each label that occurs, if they were measured.
    """
    failed: list[FailedCheck] = []
    for label in sorted(measures.keys() | expected.keys()):
        wanted = expected.get(label, Expected())
        if label in measures:
            failed += _failed(label, measures[label], wanted, pieces.get(label))
            if seen := (intensities or {}).get(label):
                failed += _unlike(label, seen, wanted)
        elif wanted.volume_ml and wanted.volume_ml[0] > 0:
            failed.append(FailedCheck(label, "nothing found", 0.0, wanted.volume_ml))
    return tuple(failed)


def check_words(failed: Sequence[FailedCheck], names: Mapping[int, str]) -> str:
    """Describe the failed checks in one line, which names each label once; empty without any.

    Example:
        >>> check_words([FailedCheck(1, "volume", 0.7, (35.0, 320.0))], {1: "pancreas"})
        'pancreas 0.7 ml, expected 35 to 320 ml'
    """
    by_label: dict[int, dict[str, FailedCheck]] = {}
    for one in failed:
        by_label.setdefault(one.label, {})[one.rule] = one
    return "; ".join(
        f"{names.get(label, f'label {label}')} {'; '.join(_parts(rules))}"
        for label, rules in by_label.items()
    )


def _failed(
    label: int, measured: LabelMeasures, wanted: Expected, before: Pieces | None
) -> list[FailedCheck]:
    failed = []
    if wanted.volume_ml and not _within(measured.volume_ml, wanted.volume_ml):
        failed.append(FailedCheck(label, "volume", round(measured.volume_ml, 3), wanted.volume_ml))
    count = (before or measured.pieces).sizeable
    if wanted.pieces is not None and count > wanted.pieces:
        failed.append(FailedCheck(label, "pieces", count, wanted.pieces))
    if wanted.extent_mm and not all(map(_within, measured.extent_mm, wanted.extent_mm)):
        extent = tuple(round(mm, 1) for mm in measured.extent_mm)
        failed.append(FailedCheck(label, "extent", extent, wanted.extent_mm))
    if wanted.inside and measured.faces:
        failed.append(FailedCheck(label, "faces", measured.faces))
    return failed


def _unlike(label: int, seen: Intensity, wanted: Expected) -> list[FailedCheck]:
    pairs = {
        "intensity": (seen.median, wanted.intensity_hu),
        "tissue": (seen.tissue, wanted.tissue_hu),
    }
    return [
        FailedCheck(label, rule, round(hu, 1), limits)
        for rule, (hu, limits) in pairs.items()
        if hu is not None and limits and not _within(hu, limits)
    ]


def _parts(rules: Mapping[str, FailedCheck]) -> list[str]:
    """Describe the failed checks of a label; a wrong extent adds nothing to a wrong volume."""
    parts = []
    if missing := rules.get("nothing found"):
        parts.append(f"not found, expected {_range(missing.expected)} ml")
    volume, pieces, extent = (rules.get(rule) for rule in ("volume", "pieces", "extent"))
    if volume:
        apart = f" in {pieces.measured} pieces" if pieces else ""
        found = _ml(volume.measured)
        parts.append(f"{found} ml{apart}, expected {_range(volume.expected)} ml")
    elif pieces:
        parts.append(f"in {pieces.measured} pieces, expected {pieces.expected}")
    if extent and not volume:
        parts += [
            f"{mm:.0f} mm {axis}, expected {_range(limits)} mm"
            for mm, axis, limits in zip(extent.measured, AXES, extent.expected, strict=True)
            if not _within(mm, limits)
        ]
    intensities = [
        f"{words} {rules[rule].measured:.0f} HU, expected {_range(rules[rule].expected)} HU"
        for rule, words in (("intensity", "median"), ("tissue", "in soft tissue of"))
        if rule in rules
    ]
    if intensities:
        parts.append(f"{' and '.join(intensities)} {PHASE}")
    if faces := rules.get("faces"):
        touched = " and the ".join(faces.measured)
        parts.append(f"touches the {touched} (a part may lie outside the scan)")
    return parts


def _within(value: float, limits: Range) -> bool:
    return limits[0] <= value <= limits[1]


def _range(limits: Range) -> str:
    return f"{limits[0]:g} to {limits[1]:g}"


def _ml(volume: float) -> str:
    return f"{volume:.1f}" if volume >= 0.1 else f"{volume:.2g}"


def _expected(values: Mapping[str, Any]) -> Expected:
    """Read an entry of the config; raise ValueError or TypeError if it is not valid."""
    if values.keys() - set(KEYS):
        raise ValueError("an unknown key")
    volume, extent = values.get("volume_ml"), values.get("extent_mm")
    pieces, inside = values.get("pieces"), values.get("inside", True)
    intensity, tissue = (values.get(name) for name in ("intensity_hu", "tissue_hu"))
    if type(inside) is not bool or not (pieces is None or (type(pieces) is int and pieces > 0)):
        raise ValueError("pieces or inside")
    if extent is not None and len(extent) != len(AXES):
        raise ValueError("extent_mm")
    return Expected(
        None if volume is None else _limits(volume),
        None if extent is None else tuple(_limits(edge) for edge in extent),
        pieces,
        inside,
        None if intensity is None else _limits(intensity, least=-math.inf),
        None if tissue is None else _limits(tissue, least=-math.inf),
    )


def _limits(values: Sequence[Any], least: float = 0.0) -> Range:
    low, high = (float(value) for value in values)
    if not least <= low <= high < math.inf:
        raise ValueError("limits")
    return low, high
