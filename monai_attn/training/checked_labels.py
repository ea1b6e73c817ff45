"""Check of a data set's label maps for a training: its classes or regions, and its ignore value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from monai_attn.datasets.channels import Channel
from monai_attn.datasets.checked_cases import CheckedCases, check_cases
from monai_attn.datasets.datalist import Case
from monai_attn.datasets.label_classes import LabelClasses, mapped_labels
from monai_attn.datasets.label_rules import read_label_rules
from monai_attn.datasets.listed_splits import Split
from monai_attn.datasets.regions import Regions, read_regions
from monai_attn.training.overrides import Config
from monai_attn.training.request import Request


@dataclass(frozen=True)
class CheckedLabels:
    """Checked cases, and the classes of their label values.

    Attributes:
        checked: the cases.
        classes: the chosen classes; None for those of the bundle.
        label_map: value in the label files to class.
        ignore: value of voxels that count nowhere, if there is one.
        doubts: doubts about the declared names or regions, one line each.
        regions: the regions, if classes overlap.
    """

    checked: CheckedCases
    classes: LabelClasses | None
    label_map: Mapping[int, int]
    ignore: int | None
    doubts: tuple[str, ...] = ()
    regions: Regions | None = None

    @property
    def numbers(self) -> list[int]:
        """The labels that the bundle will write."""
        return sorted(self.regions.labels if self.regions else {*self.label_map.values()} - {0})

    def of_value(self, value: int) -> set[int]:
        """Return the labels of the class that a value in a label file is, or of all its regions."""
        if self.regions is None:
            return {self.label_map[value]}
        return {label for label, values in self.regions.values.items() if value in values}


def check_labels(
    request: Request,
    configs: Mapping[str, Config],
    split: Split,
    on_reading: Callable[[Case | None], None],
    channels: Sequence[Channel] = (),
) -> CheckedLabels:
    """Read and check all cases, and find the classes and the ignore value of their label maps."""
    own, settings = _own(configs), request.settings
    inherited = None if "ignore" in settings else configs["train.json"].get("ignore")
    rules = read_label_rules(request.data, own, request.labels, settings.get("ignore"), inherited)
    doubts = rules.check()
    on_reading(None)
    checked = check_cases(
        [*split["training"], *split["validation"]],
        allowed=rules.allowed,
        declared=rules.declared,
        ignore=rules.ignore,
        channels=channels,
        on_case=on_reading,
    )
    classes, more = rules.choose(checked.label_values)
    return CheckedLabels(
        checked,
        None if classes is own else classes,
        classes.label_map,
        rules.ignore,
        (*doubts, *more),
        classes.regions,
    )


def _own(configs: Mapping[str, Config]) -> LabelClasses:
    """Return the classes of the bundle; one that its metadata does not name has an empty name."""
    train = configs["train.json"]
    regions = read_regions(train.get("regions"))
    names = configs["metadata.json"]["network_data_format"]["outputs"]["pred"]["channel_def"]
    numbers = range(train["num_classes"]) if regions is None else (0, *regions.labels)
    label_map = mapped_labels(train["num_classes"], train["label_map"], regions)
    return LabelClasses(tuple(names.get(str(n), "") for n in numbers), label_map, regions)


def unlearned(labels: CheckedLabels, split: Split) -> list[str]:
    """Return a line for each class that only validation cases hold; it names one of them."""
    holders: dict[str, dict[int, str]] = {"training": {}, "validation": {}}
    for part, label_of_class in holders.items():
        for case in labels.checked.cases:
            if case.case in split[part]:
                found: set[int] = set()
                found.update(*(labels.of_value(value) for value in case.voxels))
                label_of_class |= dict.fromkeys(found, str(case.case["label"]))
    return [
        f"{label}: has class {number}, which no training case has. It cannot be learned."
        for number, label in holders["validation"].items()
        if number not in holders["training"]
    ]
