"""Values of a JSON file that any program may have written: one of an unexpected kind counts as absent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
MOST_DIGITS = 18  # of a label's number: 64 bits


def dict_of(value: Any) -> Json:
    """Return a value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """Return a value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def texts_of(value: Any) -> tuple[str, ...]:
    """Return the items of a list as texts; empty if it is no list."""
    return tuple(map(str, value)) if isinstance(value, list) else ()


def number(value: Any) -> float | None:
    """Return a value as a finite float, or None if it is no finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        finite = float(value)
    except OverflowError:  # JSON has integers of any size
        return None
    return finite if math.isfinite(finite) else None


def numbers_of(value: Any) -> dict[str, float]:
    """Return the items of an object that are finite numbers."""
    items = {name: number(item) for name, item in dict_of(value).items()}
    return {name: item for name, item in items.items() if item is not None}


def pair_of(value: Any) -> tuple[float | None, float | None]:
    """Return the two numbers of a list of two; None for each that is no finite number."""
    if not isinstance(value, list) or len(value) != 2:
        return None, None
    return number(value[0]), number(value[1])


def label_names(settings: Mapping[str, Any]) -> dict[int, str]:
    """Return the name of each label in the settings of a run."""
    names = dict_of(settings.get("labels"))
    return {
        int(label): str(name)
        for label, name in names.items()
        if label.isdecimal() and len(label) <= MOST_DIGITS
    }
