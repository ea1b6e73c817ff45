"""Lists of cases as JSON: a Medical Segmentation Decathlon's `dataset.json`, and MONAI's datalists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_attn.data.errors import Faults
from monai_attn.data.names import real_path

SECTIONS = ("test", "testing", "validation", "training")  # of a datalist, in order of preference
Case = dict[str, str]


def read_json(file: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: if there is no such file, or it is no JSON.
    """
    if not file.is_file():
        raise ValueError(
            f"{file}: does not exist; a datalist (JSON) expected: "
            "give one, or a folder with a dataset.json"
        )
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))  # Windows marks the beginning
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{file}: not readable as JSON ({error}); a datalist expected: correct the file"
        ) from error


def read_datalist(path: Path) -> dict[str, list[Case]]:
    """A datalist's sections that name cases, best first; paths start at the datalist's folder.

    Args:
        path: a JSON file, or a folder with a `dataset.json`.

    Raises:
        ValueError: if there is none, or it names no case.
    """
    file = path / "dataset.json" if path.is_dir() else path
    content = read_json(file)
    if isinstance(content, list):
        content = {"test": content}
    if not isinstance(content, dict):
        raise ValueError(
            f"{file}: {content!r:.40}; a list of cases, or an object with sections, expected: "
            "correct the file"
        )
    sections = {name: content[name] for name in SECTIONS if content.get(name)}
    if not sections:
        raise ValueError(
            f"{file}: names no case; one in {', '.join(SECTIONS[:-1])} or {SECTIONS[-1]} expected: "
            "add it"
        )
    for name, entries in sections.items():
        if not isinstance(entries, list):
            raise ValueError(
                f"{file}: {name} is {entries!r:.40}; a list of cases expected: correct the file"
            )
    return {name: [_case(entry, file) for entry in entries] for name, entries in sections.items()}


def check_listed(cases: Sequence[Case], source: Path) -> None:
    """Refuse listed cases that are no pairs of an image and a label of their own, with their files.

    Args:
        cases: of a datalist.
        source: the datalist, to be named.

    Raises:
        Faults: a line for each label or file that is missing, and each file of two cases.
    """
    faults = [
        f"{source}: case {case['image']} has no label; one for each case expected: "
        "add it, or leave out the case"
        for case in cases
        if "label" not in case
    ]
    faults += [
        f"{file}: does not exist, but {source} names it; a file expected: "
        "copy it there, or correct the datalist"
        for case in cases
        for key, file in case.items()
        if not (Path(file).is_file() or (key == "image" and Path(file).is_dir()))
    ]
    for key, other in (("image", "label"), ("label", "image")):
        faults += _named_twice(cases, key, other, source)
    if faults:
        raise Faults(*faults)


def _named_twice(cases: Sequence[Case], key: str, other: str, source: Path) -> list[str]:
    counterparts: dict[Path, list[str]] = {}
    for case in cases:
        if key in case:
            counterparts.setdefault(real_path(Path(case[key])), []).append(case.get(other, "none"))
    return [
        f"{file}: the {key} of {len(found)} cases in {source}, with the {other}s "
        f"{', '.join(found)}; one case expected: correct the datalist"
        for file, found in counterparts.items()
        if len(found) > 1
    ]


def _case(entry: Any, file: Path) -> Case:
    """One entry of a datalist: a path, or an object with `image` and perhaps `label`."""
    fields = {"image": entry} if isinstance(entry, str) else entry
    image = fields.get("image") if isinstance(fields, dict) else None
    if not (isinstance(image, str) and image) or "\0" in image:
        raise ValueError(
            f"{file}: the entry {entry!r:.80} names no image; a path, or an object with image and "
            "perhaps label, expected: correct the file"
        )
    label = fields.get("label")
    case = {"image": str(file.parent / image)}
    return {**case, "label": str(file.parent / label)} if isinstance(label, str) else case
