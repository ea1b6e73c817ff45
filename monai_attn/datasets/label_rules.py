"""Rules for the label values of a data set: the values that are accepted, and the classes they become."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monai_attn.datasets.declared_names import check_names
from monai_attn.datasets.ignore import check_ignore, find_ignore
from monai_attn.datasets.label_classes import LabelClasses, declared_labels
from monai_attn.datasets.region_choice import (
    check_present,
    choose_labels,
    declared_regions,
    parse_label,
)


@dataclass(frozen=True)
class LabelRules:
    """Label values that a training, a plan and a check of a data set accept alike.

    Attributes:
        source: the data set.
        chosen: the choice of classes, as for `choose_labels`; empty for those of the data set or the bundle.
        declared: value to name, as the data set declares them.
        ignore: value of voxels that count nowhere, if there is one.
        regions: the regions that the data set declares, if no classes are chosen.
        own: the classes of the bundle, without the ignore value if the data set declares its labels.
        inherited: whether the ignore value is that of the bundle's training.
    """

    source: str | Path
    chosen: tuple[str, ...]
    declared: Mapping[int, str]
    ignore: int | None
    regions: LabelClasses | None
    own: LabelClasses
    inherited: bool = False

    @property
    def allowed(self) -> Collection[int]:
        """Values that label maps may hold; empty for any."""
        return self.declared if self.chosen else (self.regions or self.own).label_map

    def check(self) -> tuple[str, ...]:
        """Check what is known before a label map is read, and return doubts, one line each.

        Raises:
            ValueError: if the ignore value is also a class.
            Faults: a line for each declared name that contradicts the bundle.
        """
        doubts = self._inherited_ignore() if self.inherited else ()
        if self.chosen:
            return doubts
        check_ignore(self.ignore, (self.regions or self.own).label_map, "label")
        names = () if self.regions else check_names(self.source, self.declared, self.own)
        return (*doubts, *names)

    def _inherited_ignore(self) -> tuple[str, ...]:
        return (
            f"{self.source}: voxels of value {self.ignore} count nowhere, as in the training of the bundle. "
            "If it means something else here, declare the labels in dataset.json, or set ignore to null.",
        )

    def choose(self, values: Collection[int]) -> tuple[LabelClasses, tuple[str, ...]]:
        """Return the classes, and doubts about them, one line each.

        Args:
            values: values in the label maps.

        Raises:
            ValueError: as `choose_labels`, or if the ignore value is also a class.
        """
        if self.chosen:
            classes = choose_labels(self.chosen, values, self.declared, self.ignore)
            check_ignore(self.ignore, classes.label_map, "label")
            return classes, ()
        if self.regions:
            return self.regions, tuple(check_present(self.regions, values, self.source))
        return self.own, ()


def read_label_rules(
    source: str | Path,
    own: LabelClasses,
    chosen: Sequence[str] = (),
    ignore: int | None = None,
    inherited: int | None = None,
) -> LabelRules:
    """Read the rules of a data set.

    Args:
        source: the data set.
        own: the classes of the bundle.
        chosen: the choice of classes, as for `choose_labels`.
        ignore: value of voxels that count nowhere; by default the one that the data set declares.
        inherited: the ignore value of the bundle's training; used if there is no other, and if the value is
            not a label here.

    Raises:
        ValueError: if what the data set declares is malformed, or contradicts `ignore`.
    """
    declared, found = declared_labels(source), find_ignore(ignore, source)
    regions = None if chosen else declared_regions(source)
    if found is not None and declared:
        own = _without(own, found)
    values = {*declared}.union(*(parse_label(choice, declared) for choice in chosen))
    inherits = found is None and inherited is not None and inherited not in values
    ignored = inherited if inherits else found
    return LabelRules(source, tuple(chosen), declared, ignored, regions, own, inherits)


def _without(own: LabelClasses, ignore: int) -> LabelClasses:
    """Return classes without a value that is no label in this data set, if each keeps another value."""
    if own.regions or not own.label_map.get(ignore):
        return own
    left = {value: number for value, number in own.label_map.items() if value != ignore}
    if {*left.values()} != {*own.label_map.values()}:
        return own
    if ignore < own.channels:  # a class number that is not listed would stand for its class
        left[ignore] = 0
    return replace(own, label_map=left)
