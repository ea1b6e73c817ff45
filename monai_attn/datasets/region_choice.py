"""Regions as a data set declares them, and as the user chooses them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from monai_attn.datasets.datalist import read_json
from monai_attn.datasets.label_classes import (
    BACKGROUND,
    IGNORE,
    LabelClasses,
    check_choice,
    choose_classes,
    declarations,
    parse_choice,
)
from monai_attn.datasets.regions import LARGEST, Regions

ORDER = "regions_class_order"  # nnU-Net's name for the label of each region
SEVERAL = re.compile(r"\s*[0-9]+(\s*,\s*[0-9]+)+\s*")
Named = Mapping[str, tuple[int, ...]]


def declared_regions(source: str | Path) -> LabelClasses | None:
    """Read the regions that a data set's `dataset.json` declares, as nnU-Net does.

    A label that lists several values is a region, and then every label is one. `regions_class_order`
    names the value that is written for each, in the order of `labels`.

    Args:
        source: as for `declared_labels`.

    Returns:
        The regions, with each of their values; None if no label lists several values.

    Raises:
        ValueError: if a region is empty, holds the background or the ignore value, the ignore value is not
            the highest, or the order is missing or does not fit.
    """
    entries = declarations(source)
    if not any(len(values) > 1 for values, _ in entries):
        return None
    path = Path(source)
    file = path / "dataset.json" if path.is_dir() else path
    named = {name: values for values, name in entries if name != IGNORE and values != (0,)}
    ignore = next((values[0] for values, name in entries if name == IGNORE and values), None)
    for name, values in named.items():
        _check_region(file, name, values, ignore)
    highest = max(value for values in named.values() for value in values)
    if ignore is not None and ignore < highest:
        raise ValueError(
            f"{file}: the ignore value {ignore} is not the highest (expected one above {highest}, as "
            "nnU-Net requires with regions). Correct dataset.json and the label maps."
        )
    labels = _order(file, read_json(file).get(ORDER), named)
    try:
        regions = Regions(dict(zip(labels, named.values(), strict=True)))
    except ValueError as error:
        raise ValueError(
            f"{file}: regions do not fit a label map: {error}. Correct labels and {ORDER}."
        ) from None
    return LabelClasses((BACKGROUND, *named), regions.targets(), regions)


def choose_labels(
    chosen: Sequence[str],
    present: Collection[int],
    declared: Mapping[int, str],
    ignore: int | None = None,
) -> LabelClasses:
    """Choose classes as `choose_classes` does, or regions, if a choice names several values.

    Args:
        chosen: as for `choose_classes`; each may also be `VALUE,VALUE=NAME`. Then each is a region, written
            into label maps in this order, with its first value.
        present: as for `choose_classes`.
        declared: as for `choose_classes`.
        ignore: as for `choose_classes`.

    Raises:
        ValueError: as `choose_classes`, or if a label map could not show the regions.

    Example:
        >>> choose_labels(["1,2=whole", "2=tumour"], {0, 1, 2}, {}).regions
        Regions(values={1: (1, 2), 2: (2,)})
    """
    if not any(SEVERAL.fullmatch(choice.partition("=")[0]) for choice in chosen):
        return choose_classes(chosen, present, declared, ignore)
    above = sorted(value for value in present if value > 0 and value != ignore)
    named: dict[str, tuple[int, ...]] = {}
    for choice in chosen:
        name, values = _chosen(choice, above, declared, ignore)
        first = next((one for one, others in named.items() if others[0] == values[0]), None)
        if first is not None or name in named:
            raise ValueError(
                f"label {choice!r}: {'the name' if name in named else values[0]} is already that of "
                f"{first or name} (expected another name and another first value, which is written into "
                "label maps). Change it."
            )
        named[name] = values
    try:
        regions = Regions({values[0]: values for values in named.values()})
    except ValueError as error:
        raise ValueError(
            f"labels {', '.join(map(repr, chosen))}: {error}. The first value of each is written, in this "
            "order: change the order of the values or the labels."
        ) from None
    others = dict.fromkeys((*above, *declared), 0)
    return LabelClasses((BACKGROUND, *named), {**others, **regions.targets()}, regions)


def chosen_texts(classes: LabelClasses) -> tuple[str, ...]:
    """Return the choice, as for `choose_labels`, that gives these regions in their order."""
    if classes.regions is None:
        return ()
    return tuple(
        ",".join(map(str, dict.fromkeys((label, *values)))) + f"={classes.numbered[label]}"
        for label, values in classes.regions.values.items()
    )


def check_present(classes: LabelClasses, present: Collection[int], source: str | Path) -> list[str]:
    """Check declared regions against the values in the label files.

    Returns:
        A doubt, if a value of a region occurs in no file.

    Raises:
        ValueError: if no value of a region occurs: it cannot be learned.
    """
    if classes.regions is None:
        return []
    for label, values in classes.regions.values.items():
        if not set(values) & set(present):
            raise ValueError(
                f"{source}: no label map has a value of region {classes.numbered[label]!r:.40} (expected "
                f"{', '.join(map(str, values))}). Leave out the region, or label it."
            )
    missing = sorted(set(classes.regions.known_values) - set(present))
    if not missing:
        return []
    return [
        f"{source}: no label map has the values {', '.join(map(str, missing))} of its regions. Check them."
    ]


def _check_region(file: Path, name: str, values: tuple[int, ...], ignore: int | None) -> None:
    if not values:
        raise ValueError(
            f"{file}: region {name!r:.40} is empty (got [], expected one or more values). Add them, or "
            "leave out the region."
        )
    for value in values:
        if value == 0 or value == ignore:
            kind = "background" if value == 0 else "ignore"
            raise ValueError(
                f"{file}: region {name!r:.40} holds the {kind} value {value} (expected others). Leave it "
                "out."
            )
        if value > LARGEST:
            raise ValueError(
                f"{file}: region {name!r:.40} holds the value {value} (expected at most {LARGEST}). Number "
                "the labels from 1."
            )


def _order(file: Path, order: object, named: Named) -> tuple[int, ...]:
    """Check `regions_class_order`, and return it: a value of its own for each region."""
    hint = suggested_order(named)
    remedy = f'Write "{ORDER}": {[*hint]}.' if hint else "Choose a value that only this region has."
    regions = ", ".join(named)
    if order is None:
        raise ValueError(
            f"{file}: declares regions without {ORDER} (expected the value to write for each of {regions}). "
            f"{remedy}"
        )
    if not isinstance(order, list) or len(order) != len(named):
        raise ValueError(
            f"{file}: invalid {ORDER} (got {order!r:.60}, expected {len(named)} values, one for each of "
            f"{regions}). {remedy}"
        )
    for place, ((name, values), label) in enumerate(zip(named.items(), order, strict=True)):
        if type(label) is not int or label not in values or label in order[:place]:
            problem = (
                "given twice" if label in order[:place] else f"not a value of region {name!r:.40}"
            )
            raise ValueError(
                f"{file}: invalid {ORDER} (got {order!r:.60}, of which {label!r:.20} is {problem}). "
                f"{remedy}"
            )
    return tuple(order)


def suggested_order(named: Named) -> tuple[int, ...]:
    """Suggest the label of each region: its first value that no later one has; empty if one has none.

    Example:
        >>> suggested_order({"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)})
        (1, 2, 3)
    """
    sets = [*named.values()]
    later = [
        {value for values in sets[place + 1 :] for value in values} for place in range(len(sets))
    ]
    own = [
        [value for value in values if value not in hidden]
        for values, hidden in zip(sets, later, strict=True)
    ]
    return tuple(values[0] for values in own) if all(own) else ()


def parse_label(choice: str, declared: Mapping[int, str]) -> dict[int, str]:
    """Parse one choice, as for `choose_labels`, into values and their name."""
    left, equals, name = (part.strip() for part in choice.partition("="))
    parts = [left] if not SEVERAL.fullmatch(left) else left.split(",")
    if len(parts) > 1 and not equals:
        raise ValueError(f"label {choice!r}: has no name. Write it like {left}=whole.")
    values: dict[int, str] = {}
    for part in parts:
        values |= parse_choice(f"{part.strip()}={name}" if equals else part, declared)
    return values


def _chosen(
    choice: str, above: Sequence[int], declared: Mapping[int, str], ignore: int | None
) -> tuple[str, tuple[int, ...]]:
    """Parse one choice into the name of a region and its values, and check them."""
    values = parse_label(choice, declared)
    for value, own in values.items():
        check_choice(choice, value, own, above, {}, ignore)
    if max(values) > LARGEST:
        raise ValueError(
            f"label {choice!r}: holds the value {max(values)} (expected at most {LARGEST} in regions). "
            "the labels from 1."
        )
    return next(iter(values.values())), tuple(values)
