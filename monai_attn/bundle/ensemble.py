"""Several bundles as one: their agreement is checked, and their probabilities are averaged.

Everything but the probabilities is that of the first bundle: the locator, the overlap of the windows and the
cleaning of labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.folds import members_of
from monai_attn.bundle.open import open_bundle
from monai_attn.inference.inferer_windows import windows_of
from monai_attn.inference.result_checks import Expected, Range
from monai_attn.metrics.calibration import Confidence
from monai_attn.networks import Ensemble

CLEANING = ("keep_largest", "keep_pieces_from", "fill_holes")
Facts = dict[str, Any]


def open_bundles(
    names_or_dirs: Sequence[str | Path],
    device: str = "auto",
    *,
    mode: str | None = None,
    **options: Any,
) -> Bundle:
    """Open one bundle, or several as an ensemble, whose probabilities are averaged in each window.

    Args:
        names_or_dirs: the bundles, each as for `open_bundle`, or the folder of a cross-validation for the
            bundles of all folds; the first one's locator and cleaning are used.
        device: as for `open_bundle`.
        mode: as for `open_bundle`; of several bundles that of the first.
        options: as for `open_bundle`.

    Raises:
        ValueError: as `open_bundle`; if none is given, one is given twice, or one differs from the first in
            its classes, its network's input or its windows: the line names the bundle and what differs.
    """
    names_or_dirs = [member for name in names_or_dirs for member in members_of(name)]
    if not names_or_dirs:
        raise ValueError("bundle: none is given (expected one or more). Name a bundle.")
    first = open_bundle(names_or_dirs[0], device, mode=mode, **options)
    if len(names_or_dirs) == 1:
        return first
    others = [open_bundle(name, device, **options) for name in names_or_dirs[1:]]
    members = (first, *others)
    _check_distinct(members)
    expected = _facts(first)
    for other in others:
        _check_agreement(other, first, _facts(other), expected)
    for other in others:
        _note_cleaning(other, first)
    network = Ensemble(
        [member.network for member in members],
        [member.confidence.temperature for member in members],
        sigmoid=first.decoding.activation == "sigmoid",
    )
    flips = set.intersection(*(set(member.confidence.flip_axes) for member in members))
    return replace(
        first,
        network=network,
        members=members,
        # the factors of the intervals were fitted for one network each
        confidence=Confidence(flip_axes=tuple(sorted(flips))),
        expected=_widest([member.expected for member in members]),
    )


def _check_distinct(members: Sequence[Bundle]) -> None:
    seen: dict[str, Path] = {}
    for member in members:
        digest = member.weights_sha256
        if digest in seen:
            twice = seen[digest] == member.root
            why = "is named twice" if twice else f"has the same weights as {seen[digest]}"
            raise ValueError(f"{member.root}: {why} (expected each once). Leave one out.")
        seen[digest] = member.root


def _facts(bundle: Bundle) -> Facts:
    """Return what the members of an ensemble must have in common, by name."""
    data = bundle.metadata["network_data_format"]
    image = data["inputs"]["image"]
    dims, regions = len(image["spatial_shape"]), bundle.decoding.regions
    step = _config(bundle, "preprocessing")
    if isinstance(step, dict):
        steps = {name: value for name, value in step.items() if name != "_target_"}
        steps["preprocessing"] = step.get("_target_")
    else:
        steps = {"preprocessing": step}
    return {
        "network": f"{dims}D",
        "classes": ", ".join(map(str, data["outputs"]["pred"]["channel_def"].values())),
        "regions": regions and regions.content(),
        "number of input channels": image.get("num_channels"),
        **steps,
        "roi_size": list(windows_of(bundle.inferer).shape(dims) or ()),
    }


def _check_agreement(other: Bundle, first: Bundle, got: Facts, expected: Facts) -> None:
    for name in [*expected, *(got.keys() - expected.keys())]:
        if got.get(name) != expected.get(name):
            raise ValueError(
                f"{other.root}: another {name} than {first.root} (got {got.get(name)}, expected "
                f"{expected.get(name)}). Choose bundles that were trained alike."
            )


def _note_cleaning(other: Bundle, first: Bundle) -> None:
    for name in CLEANING:
        got, used = _config(other, name), _config(first, name)
        if got != used:
            warnings.warn(
                f"{other.root}: another {name} than {first.root} ({got} and {used}); that of the first "
                "counts",
                stacklevel=3,
            )


def _config(bundle: Bundle, name: str) -> Any:
    """Return an entry of a bundle's inference.json, with the values that it refers to; None without it."""
    config = ConfigParser.load_config_file(bundle.root / "configs" / "inference.json")
    return _with_values(config.get(name), config)


def _with_values(entry: Any, config: Mapping[str, Any]) -> Any:
    if isinstance(entry, dict):
        return {key: _with_values(value, config) for key, value in entry.items()}
    if isinstance(entry, list):
        return [_with_values(value, config) for value in entry]
    if isinstance(entry, str) and entry[:1] == "@" and entry[1:] in config:
        return _with_values(config[entry[1:]], config)
    return entry


def _widest(members: Sequence[Mapping[int, Expected]]) -> dict[int, Expected]:
    """Return expectations that hold for what any member expects of a label."""
    labels = set.intersection(*(set(member) for member in members))
    return {label: _union([member[label] for member in members]) for label in sorted(labels)}


def _union(several: Sequence[Expected]) -> Expected:
    pieces = [one.pieces for one in several]
    extents = [one.extent_mm for one in several]
    edges = [_range(axis) for axis in zip(*extents, strict=True)] if all(extents) else []
    return Expected(
        volume_ml=_range([one.volume_ml for one in several]),
        extent_mm=tuple(edge for edge in edges if edge) or None,
        pieces=None if None in pieces else max(piece for piece in pieces if piece is not None),
        inside=all(one.inside for one in several),
        intensity_hu=_range([one.intensity_hu for one in several]),
        tissue_hu=_range([one.tissue_hu for one in several]),
    )


def _range(ranges: Sequence[Range | None]) -> Range | None:
    known = [ends for ends in ranges if ends is not None]
    if len(known) < len(ranges):
        return None
    return min(low for low, _ in known), max(high for _, high in known)
