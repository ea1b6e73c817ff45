"""What a data set is like: spacings, sizes, the HU inside what is labelled, and how much of it there is.

Axes are those of RAS+ patient space, in which the network sees every scan, however its file lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from monai_attn.data.grid import voxel_ml

SAMPLE = 10_000  # voxels of a case whose HU are kept: 64 bytes of a thousand cases are 40 MB in all
PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
EVERYTHING = "foreground"  # what all labels together are called where none is chosen


@dataclass(frozen=True)
class Structure:
    """One label value in one case.

    Attributes:
        ml: its volume.
        low: (3,) the first voxel of its box along each axis.
        high: (3,) the one behind the last.
        hu: (N,) some of its voxels.
    """

    ml: float
    low: tuple[int, ...]
    high: tuple[int, ...]
    hu: NDArray[np.float32]


@dataclass(frozen=True)
class CaseFacts:
    """What one labelled case says.

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
    """What a data set is like.

    Attributes:
        sizes: (3,) voxels of each case.
        spacings: (3,) mm of each case.
        hu: HU inside the foreground, by percentile.
        volumes_ml: by class, of each case that has it.
        extents_mm: by class, (3,) edges of the box around it, of each case that has it.
        label_map: value in the label files to class; 0 is background.
    """

    sizes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]
    hu: Mapping[float, float]
    volumes_ml: Mapping[str, tuple[float, ...]]
    extents_mm: Mapping[str, tuple[tuple[float, ...], ...]]
    label_map: Mapping[int, int]

    @property
    def cases(self) -> int:
        """How many there are."""
        return len(self.sizes)

    @property
    def field_mm(self) -> NDArray[np.float64]:
        """(3,) the median edges of a scan."""
        return np.median(np.multiply(self.sizes, self.spacings), axis=0)

    @property
    def structure_mm(self) -> NDArray[np.float64]:
        """(3,) the edges of a box that holds a typical case of any one class."""
        return np.max([np.median(boxes, axis=0) for boxes in self.extents_mm.values()], axis=0)

    def as_json(self) -> dict[str, Any]:
        """The summary that a plan is stored with; least, median and most of what differs by case."""
        return {
            "cases": self.cases,
            "size_voxels": _spread(self.sizes),
            "spacing_mm": _spread(self.spacings),
            "hu_percentiles": {f"{p:g}": round(value, 1) for p, value in self.hu.items()},
            "classes": {
                name: {
                    "cases": len(volumes),
                    "volume_ml": _spread(volumes),
                    "extent_mm": _spread(self.extents_mm[name]),
                }
                for name, volumes in self.volumes_ml.items()
            },
        }


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
        image: (X, Y, Z) HU.
        labels: (X, Y, Z) integers on the same grid, 0 the background.
        affine: (4, 4), voxel to RAS+ mm.
        values: labels whose HU are sampled; all above 0 by default. The others are measured too.
        seed: of the sample.

    Example:
        >>> facts = case_facts(np.ones((4, 4, 4)), np.eye(4, dtype=int)[None].repeat(4, 0), np.eye(4))
        >>> facts.structures[1].ml
        0.016
    """
    order = np.argsort(nib.io_orientation(affine)[:, 0])
    where = np.flatnonzero(labels)
    found = labels.ravel()[where]
    present = [int(value) for value in np.unique(found)]
    sampled = set(present if values is None else values) & set(present)
    draw = np.random.default_rng(seed)
    structures = {}
    for value in present:
        voxels = where[found == value]
        places = np.unravel_index(voxels, labels.shape)
        count = SAMPLE // len(sampled) if value in sampled else 0
        some = voxels if len(voxels) <= count else draw.choice(voxels, count)
        structures[value] = Structure(
            ml=len(voxels) * voxel_ml(affine),
            low=tuple(int(places[axis].min()) for axis in order),
            high=tuple(int(places[axis].max()) + 1 for axis in order),
            hu=image.ravel()[some],
        )
    return CaseFacts(
        size=tuple(int(labels.shape[axis]) for axis in order),
        spacing=tuple(float(voxel_sizes(affine)[axis]) for axis in order),
        structures=structures,
    )


def fingerprint(
    cases: Sequence[CaseFacts], classes: Mapping[int, str] | None = None
) -> Fingerprint:
    """What the cases have in common.

    Args:
        cases: at least one.
        classes: the name of each label value that is segmented; values of one name are one class. By
            default all labels together are.

    Raises:
        ValueError: if there is no case, or none has a class that is named.
    """
    if not cases:
        raise ValueError("cases (=[]) must be one or more: nothing follows from none")
    present = sorted({value for case in cases for value in case.structures})
    if not present:
        raise ValueError("no case has a label above 0; cases with labels expected: check the files")
    named = classes or dict.fromkeys(present, EVERYTHING)
    names = list(dict.fromkeys(named.values()))
    volumes: dict[str, list[float]] = {name: [] for name in names}
    extents: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    samples = []
    for case in cases:
        for name in names:
            parts = [part for v, part in case.structures.items() if named.get(v) == name]
            if not parts:
                continue
            voxels = np.max([p.high for p in parts], axis=0) - np.min(
                [p.low for p in parts], axis=0
            )
            volumes[name].append(sum(part.ml for part in parts))
            extents[name].append(tuple((voxels * case.spacing).tolist()))
            samples += [part.hu for part in parts]
    for name in names:
        if not volumes[name]:
            values = ", ".join(str(value) for value, its in named.items() if its == name)
            raise ValueError(
                f"no case has label {values} ({name}); the labels there are {present}: "
                "choose among them"
            )
    hu = np.percentile(np.concatenate(samples), PERCENTILES)
    return Fingerprint(
        sizes=tuple(case.size for case in cases),
        spacings=tuple(case.spacing for case in cases),
        hu=dict(zip(PERCENTILES, hu.tolist(), strict=True)),
        volumes_ml={name: tuple(values) for name, values in volumes.items()},
        extents_mm={name: tuple(boxes) for name, boxes in extents.items()},
        label_map={v: names.index(named[v]) + 1 if v in named else 0 for v in present},
    )


def _spread(values: Sequence[Any]) -> dict[str, Any]:
    """The least, the median and the most of numbers, or of each axis."""
    points = (("least", np.min), ("median", np.median), ("most", np.max))
    return {word: np.round(point(values, axis=0), 2).tolist() for word, point in points}
