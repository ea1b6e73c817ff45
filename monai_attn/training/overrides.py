"""Values for a bundle's configs, by id, from the command line and from plan files: plain, never code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REMARKS = ("labels", "reasons", "fingerprint")  # entries of a plan file that are not values
FROM_LABELS = ("num_classes", "label_map")
OPTIONAL = ("ignore",)  # numbers that may be null
Config = dict[str, Any]


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read `id=value` texts, such as "epochs=50" or "network_def#channels=[8, 16, 32]".

    Args:
        texts: texts whose value is JSON, or else is taken as a string.

    Raises:
        ValueError: if there is no id or no value, or the value is code.

    Example:
        >>> parse_settings(["epochs=50", "network_def#gate=null", "network_def#norm=instance"])
        {'epochs': 50, 'network_def#gate': None, 'network_def#norm': 'instance'}
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"setting {text}: no id or no value. Write it like epochs=50.")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
        _check_plain(settings[name], f"setting {text}")
    return settings


def read_plan(path: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the values in a plan file, and the labels that it was made for.

    Returns:
        id to value, without those that follow from the labels; and the labels, as `choose_classes` takes
        them: none, if they are the bundle's.

    Raises:
        ValueError: if it is no JSON object, its labels are no texts, or a value is code.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not readable as a plan ({error}). Give a file that holds a plan."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: no plan (got {content!r:.40}, expected an object of ids and values)"
        )
    if content.keys() & {"cases", "training"}:
        raise ValueError(
            f"{path}: no plan (got a list of cases, expected ids and values). Give a file that holds a plan."
        )
    labels = content.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(
            f"{path}: invalid labels (got {labels!r:.40}, expected texts such as 7=pancreas)"
        )
    left_out = (*REMARKS, *(FROM_LABELS if labels else ()))
    values = {name: value for name, value in content.items() if name not in left_out}
    for name, value in values.items():
        _check_plain(value, f"{path}: {name}")
    return values, tuple(labels)


def override(configs: Sequence[Config], settings: Mapping[str, Any]) -> None:
    """Set values in those configs that have their ids, in place.

    Args:
        configs: as read from JSON files.
        settings: id to value; `a#b` is `b` in the section `a`. An argument that a section leaves at its
            default can be set too.

    Raises:
        ValueError: if no config has an id, or a value is not a number where the config has one.
    """
    for name, value in settings.items():
        places = [place for config in configs if (place := _place(config, name.split("#")))]
        if not places:
            raise ValueError(f"{name}: the bundle's configs have no such id. Look in train.json.")
        for section, last in places:
            if not isinstance(section, dict) or last in section:
                _check_number(name, section[last], value)
            section[last] = value


def _place(config: Config, parts: list[str]) -> tuple[Any, Any] | None:
    """Find the section that holds, or may hold, the last part of an id; return both."""
    section: Any = config
    for part in parts[:-1]:
        key = int(part) if isinstance(section, list) and part.isdecimal() else part
        try:
            section = section[key]
        except (KeyError, IndexError, TypeError):
            return None
    last = parts[-1]
    if isinstance(section, list):
        return (section, int(last)) if last.isdecimal() and int(last) < len(section) else None
    if not isinstance(section, dict) or not (last in section or "_target_" in section):
        return None
    return section, last


def _check_number(name: str, old: Any, value: Any) -> None:
    if value is None and name in OPTIONAL:
        return
    if isinstance(old, bool) or not isinstance(old, (int, float)):
        return
    kinds = (int,) if isinstance(old, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        whole = "whole " if kinds == (int,) else ""
        raise ValueError(
            f"{name}: no {whole}number (got {value!r:.40}, expected one such as {old})"
        )


def _check_plain(value: Any, name: str) -> None:
    if isinstance(value, dict):
        if "_target_" in value:
            raise ValueError(f"{name}: names code to run (expected plain values)")
        for item in value.values():
            _check_plain(item, name)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, name)
    elif isinstance(value, str) and value[:1] in ("$", "@", "%"):
        raise ValueError(f"{name}: is an expression (expected plain values)")
