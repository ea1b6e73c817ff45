"""Regions: structures that overlap, such as a whole tumour and its core, as nnU-Net declares them.

A label map holds one value per voxel, so a region is a set of values: with `whole` as 1 and 2, and `core`
as 2, a voxel of value 2 is in both. A network has one output channel for each region, without a background.
Its label map is written region after region, later ones over earlier ones, each with a value of its own
(nnU-Net's `regions_class_order`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_attn.io.labels import volumes_ml

LARGEST = 254  # of a value: labels in training are uint8, and 255 marks ignored voxels


@dataclass(frozen=True)
class Regions:
    """Regions, in the order in which they are written into a label map.

    Attributes:
        values: label written for each region, to all values in a label map that lie in the region; in the
            order of the network's channels.

    Raises:
        ValueError: if a label map could not show each region: there is none, one is empty or lacks its own
            label, one would hide another, or two are equal.

    Example:
        >>> Regions({1: (1, 2), 2: (2,)}).labels
        (1, 2)
    """

    values: Mapping[int, tuple[int, ...]]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("no region (expected one or more)")
        for label, values in self.values.items():
            if not values:
                raise ValueError(f"the region of label {label} has no value (expected one or more)")
            wrong = [
                value for value in values if type(value) is not int or not 0 < value <= LARGEST
            ]
            if wrong:
                raise ValueError(
                    f"the region of label {label} has an invalid value (got {wrong[0]!r:.40}, expected a "
                    f"whole number from 1 to {LARGEST})"
                )
            if label not in values:
                raise ValueError(
                    f"the region of label {label} has other values (got {', '.join(map(str, values))}; its "
                    "label must be one of them, or its label map would not show it)"
                )
        for one, other in permutations(self.values, 2):
            self._check_pair(one, other)

    def _check_pair(self, one: int, other: int) -> None:
        """Refuse two regions of which a label map could not show both."""
        order, inner, outer = self.labels, {*self.values[one]}, {*self.values[other]}
        if inner == outer:
            raise ValueError("two regions have the same values (expected different ones)")
        if inner < outer and order.index(one) < order.index(other):
            raise ValueError(
                f"the region of label {one} would be hidden by that of label {other} around it, which is "
                "written later (expected the larger region first)"
            )
        if one in outer and not inner < outer:
            raise ValueError(
                f"label {one} of a region is also a value of the region of label {other}, which is not "
                "around it (expected a value that only the first one has)"
            )

    @property
    def labels(self) -> tuple[int, ...]:
        """The label that is written for each region, in the order of the channels."""
        return tuple(self.values)

    @property
    def known_values(self) -> tuple[int, ...]:
        """Every value that lies in a region, ascending."""
        return tuple(sorted({value for values in self.values.values() for value in values}))

    def content(self) -> dict[str, list[int]]:
        """Return the plain value for a bundle's configs, see `read_regions`."""
        return {str(label): list(values) for label, values in self.values.items()}

    def targets(self) -> dict[int, int]:
        """Return what each value becomes in training: itself, since several regions may hold it."""
        return {0: 0, **{value: value for value in self.known_values}}

    def mask(self, labels: NDArray[np.integer], label: int) -> NDArray[np.bool_]:
        """Return where a label map, of any shape, holds the region of a label."""
        return np.isin(labels, self.values[label])

    def around(self, value: int, label: int) -> int:
        """Return what a voxel of a value becomes when it leaves the region of a label.

        It keeps the label of the last region that holds the value and is not within the one it leaves; it
        is background if there is none.

        Example:
            >>> Regions({1: (1, 2), 2: (2,)}).around(2, label=2)
            1
        """
        left = self.values[label]
        rest = [one for one, values in self.values.items() if value in values and one not in left]
        return rest[-1] if rest else 0


def read_regions(content: Any) -> Regions | None:
    """Read `regions` of a bundle's configs: None for classes that do not overlap.

    Args:
        content: None, or label to list of values, such as `{"1": [1, 2], "2": [2]}`.

    Raises:
        ValueError: one line, if it has neither form.
    """
    if content is None or isinstance(content, Regions):
        return content
    try:
        return Regions({int(label): tuple(values) for label, values in content.items()})
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"regions (={content!r:.80}) must map each label to a list of values"
        ) from error
    except ValueError as error:
        raise ValueError(f"regions (={content!r:.80}): {error}") from None


def named_regions(named: Mapping[str, Sequence[int]]) -> Regions:
    """Return regions given by name, in their order; the label of each is its first value.

    Raises:
        ValueError: one line, if a label map cannot show them.

    Example:
        >>> named_regions({"whole": [1, 2], "tumour": [2]})
        Regions(values={1: (1, 2), 2: (2,)})
    """
    said = ", ".join(f"{name} {list(values)}" for name, values in named.items())
    if not all(named.values()):
        raise ValueError(f"regions {said:.120}: one has no value (expected one or more). Add it.")
    regions = {values[0]: tuple(values) for values in named.values()}
    try:
        if len(regions) < len(named):
            raise ValueError("two have the same first value (expected one of its own for each)")
        return Regions(regions)
    except ValueError as error:
        raise ValueError(
            f"regions {said:.120}: {error}. Change their order, or that of values."
        ) from None


def region_volumes_ml(
    labels: NDArray[np.integer], voxel_ml: float, regions: Regions | None
) -> dict[int, float]:
    """Return the volume in ml of each class or region that occurs, with all that is within a region.

    Args:
        labels: (X, Y, Z) as a bundle writes them.
        voxel_ml: the volume of one voxel.
        regions: None for classes that do not overlap.
    """
    found = volumes_ml(labels, voxel_ml)
    if regions is None:
        return found
    sums = {
        label: sum(found.get(value, 0.0) for value in values)
        for label, values in regions.values.items()
    }
    return {label: ml for label, ml in sums.items() if ml}


def layers(labels: NDArray[np.integer], regions: Regions | None) -> Iterator[NDArray[np.integer]]:
    """Yield label maps in which no region hides another: one per region, or the labels as they are.

    Args:
        labels: of any shape, as a bundle writes them.
        regions: None for classes that do not overlap.
    """
    if regions is None:
        yield labels
        return
    for label in regions.labels:
        yield np.where(regions.mask(labels, label), label, 0).astype(labels.dtype, order="K")
