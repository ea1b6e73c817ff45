"""Fingerprint of a data set: spacings, sizes, and HU, volumes and extents of its structures.

Axes are those of RAS+ patient space, in which the network sees every scan, whatever the file's orientation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from monai_attn.datasets.channels import Channel
from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.io.grid import voxel_ml

SAMPLE = 10_000  # voxels of a case whose HU are kept: 64 bytes of a thousand cases are 40 MB in all
PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)


@dataclass(frozen=True)
class Structure:
    """The structure with one label value in one case.

    Attributes:
        ml: its volume in millilitres.
        low: (3,) first voxel of its box along each axis.
        high: (3,) last voxel of its box plus one.
        hu: (N,) HU of some of its voxels; of an image of several channels (C, N) their values.
    """

    ml: float
    low: tuple[int, ...]
    high: tuple[int, ...]
    hu: NDArray[np.float32]


@dataclass(frozen=True)
class CaseFacts:
    """Measured facts of one labelled case.

    Attributes:
        size: (3,) voxels.
        spacing: (3,) mm.
        structures: by value in the label file.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    structures: Mapping[int, Structure]


@dataclass(frozen=True)
class Fingerprint:
    """Properties of a data set.

    Attributes:
        sizes: (3,) voxels of each case.
        spacings: (3,) mm of each case.
        hu: HU inside the foreground, by percentile; of several channels the values of the first.
        volumes_ml: by name of each class that occurs, one volume for each case that has it.
        extents_mm: likewise, (3,) edges of the box around it.
        classes: the classes to segment.
        ignore: value of voxels in the label files that were not measured, if there is one: then HU, volumes
            and extents are those of the known voxels.
        channels: the channels, each with its scaling; none for a CT that the bundle's window scales.
        values: values inside the foreground of each of these channels, by percentile.
    """

    sizes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]
    hu: Mapping[float, float]
    volumes_ml: Mapping[str, tuple[float, ...]]
    extents_mm: Mapping[str, tuple[tuple[float, ...], ...]]
    classes: LabelClasses
    ignore: int | None = None
    channels: tuple[Channel, ...] = ()
    values: tuple[Mapping[float, float], ...] = ()

    @property
    def cases(self) -> int:
        """Number of cases."""
        return len(self.sizes)

    @property
    def field_mm(self) -> NDArray[np.float64]:
        """Median edges (3,) of a scan in mm."""
        return np.median(np.multiply(self.sizes, self.spacings), axis=0)

    @property
    def structure_mm(self) -> NDArray[np.float64]:
        """Edges (3,) in mm of a box that holds a typical structure of any class."""
        return np.max([np.median(boxes, axis=0) for boxes in self.extents_mm.values()], axis=0)

    def as_json(self) -> dict[str, Any]:
        """Return the summary for a stored plan, with least, median and most of values by case."""
        return {
            "cases": self.cases,
            "size_voxels": _spread(self.sizes),
            "spacing_mm": _spread(self.spacings),
            **self._percentiles(),
            "classes": {
                name: {
                    "cases": len(volumes),
                    "volume_ml": _spread(volumes),
                    "extent_mm": _spread(self.extents_mm[name]),
                }
                for name, volumes in self.volumes_ml.items()
            },
        }

    def _percentiles(self) -> dict[str, Any]:
        if not self.channels:
            return {"hu_percentiles": _rounded(self.hu)}
        pairs = zip(self.channels, self.values, strict=True)
        return {"percentiles": [{"channel": one.name, **_rounded(of)} for one, of in pairs]}


def case_facts(
    image: NDArray[np.float32],
    labels: NDArray[np.integer],
    affine: NDArray[np.float64],
    *,
    values: Iterable[int] | None = None,
    seed: int = 0,
) -> CaseFacts:
    """Measure one case.

    Args:
        image: (X, Y, Z) HU, or (C, X, Y, Z) values of several channels.
        labels: (X, Y, Z) integers on the same grid, 0 the background.
        affine: (4, 4), voxel to RAS+ mm.
        values: labels whose HU are sampled; all above 0 by default. The others are measured too.
        seed: seed of the sample.

    Example:
        >>> facts = case_facts(np.ones((4, 4, 4)), np.eye(4, dtype=int)[None].repeat(4, 0), np.eye(4))
        >>> facts.structures[1].ml
        0.016
    """
    order = np.argsort(nib.io_orientation(affine)[:, 0])
    foreground = np.flatnonzero(labels)
    foreground_values = labels.ravel()[foreground]
    present = [int(value) for value in np.unique(foreground_values)]
    sampled = set(present if values is None else values) & set(present)
    draw = np.random.default_rng(seed)
    structures = {}
    for value in present:
        voxels = foreground[foreground_values == value]
        places = np.unravel_index(voxels, labels.shape)
        count = SAMPLE // len(sampled) if value in sampled else 0
        some = voxels if len(voxels) <= count else draw.choice(voxels, count)
        structures[value] = Structure(
            ml=len(voxels) * voxel_ml(affine),
            low=tuple(int(places[axis].min()) for axis in order),
            high=tuple(int(places[axis].max()) + 1 for axis in order),
            hu=image.reshape(*image.shape[:-3], -1)[..., some],
        )
    return CaseFacts(
        size=tuple(int(labels.shape[axis]) for axis in order),
        spacing=tuple(float(voxel_sizes(affine)[axis]) for axis in order),
        structures=structures,
    )


def fingerprint(
    cases: Sequence[CaseFacts],
    classes: LabelClasses,
    ignore: int | None = None,
    channels: tuple[Channel, ...] = (),
) -> Fingerprint:
    """Summarise the facts of all cases.

    Args:
        cases: at least one.
        classes: the classes to segment.
        ignore: value of voxels that the facts leave out, if there is one.
        channels: the channels; none for a CT that the bundle's window scales.

    Raises:
        ValueError: if no case has any of the classes.
    """
    volumes: dict[str, list[float]] = {}
    extents: dict[str, list[tuple[float, ...]]] = {}
    samples = []
    sampled: set[int] = set()
    for label, name in classes.numbered.items():
        values = set(classes.values_of(label)) if label else set()
        for case in cases:
            parts = [part for value, part in case.structures.items() if value in values]
            if not parts:
                continue
            low, high = zip(*((part.low, part.high) for part in parts), strict=True)
            edges = (np.max(high, axis=0) - np.min(low, axis=0)) * case.spacing
            volumes.setdefault(name, []).append(sum(part.ml for part in parts))
            extents.setdefault(name, []).append(tuple(edges.tolist()))
            samples += [
                np.atleast_2d(case.structures[value].hu)
                for value in case.structures
                if value in values - sampled
            ]
        sampled |= values  # several regions may hold a value
    if not samples:
        raise ValueError(
            f"{len(cases)} cases: no label is {' or '.join(classes.names[1:])} (expected one or more). "
            "Choose other labels."
        )
    found = np.percentile(np.concatenate(samples, axis=1), PERCENTILES, axis=1).T
    inside = tuple(dict(zip(PERCENTILES, row.tolist(), strict=True)) for row in found)
    return Fingerprint(
        sizes=tuple(case.size for case in cases),
        spacings=tuple(case.spacing for case in cases),
        hu=inside[0],
        volumes_ml={name: tuple(values) for name, values in volumes.items()},
        extents_mm={name: tuple(boxes) for name, boxes in extents.items()},
        classes=classes,
        ignore=ignore,
        channels=channels,
        values=inside if channels else (),
    )


def _rounded(percentiles: Mapping[float, float]) -> dict[str, float]:
    return {f"{p:g}": round(value, 1) for p, value in percentiles.items()}


def _spread(values: Sequence[Any]) -> dict[str, Any]:
    """Return least, median and most of numbers, or of each axis."""
    points = (("least", np.min), ("median", np.median), ("most", np.max))
    return {word: np.round(point(values, axis=0), 2).tolist() for word, point in points}
