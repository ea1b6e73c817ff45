"""Lists of cases as JSON: the Medical Segmentation Decathlon's `dataset.json`, and MONAI's datalists.

The `image` is a path, or a list of paths, one for each channel. In addition to `image` and `label`, an entry
may name the patient (`group` or `patient`) and the fold in which the case validates (`fold`, as in MONAI's
Auto3DSeg). Other keys are ignored, unless they look like a misspelt one of these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai_attn.io.channels import files_of
from monai_attn.io.errors import Faults
from monai_attn.io.names import real_path

SECTIONS = ("test", "testing", "validation", "training")  # of a datalist, in order of preference
FILES = ("image", "label")  # keys of a case that are paths
GROUPS = ("group", "patient")  # keys that name the patient; a case has one of them at most
SPLIT_KEYS = (*GROUPS, "fold")  # keys that only a split needs
KNOWN_KEYS = {"group": "group", "patient": "patient", "subject": "patient", "fold": "fold"}
Case = dict[str, Any]  # image is a path, or a list of paths, one for each channel


def read_json(file: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: if the file does not exist or is not JSON.
    """
    if not file.is_file():
        raise ValueError(
            f"{file}: does not exist (expected a datalist in JSON). Give a datalist, or a folder with a "
            "dataset.json."
        )
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))  # Windows adds a byte order mark
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{file}: not readable as JSON ({error}; expected a datalist). Correct the file."
        ) from error


def read_datalist(path: Path) -> dict[str, list[Case]]:
    """Read a datalist's sections that name cases, in order of preference; join paths to its folder.

    Args:
        path: a JSON file, or a folder with a `dataset.json`.

    Raises:
        ValueError: if there is no datalist, or it names no case.
    """
    file = path / "dataset.json" if path.is_dir() else path
    content = read_json(file)
    if isinstance(content, list):
        content = {"test": content}
    if not isinstance(content, dict):
        raise ValueError(
            f"{file}: no datalist (got {content!r:.40}, expected a list of cases, or an object with "
            "sections). Correct the file."
        )
    _check_sections(content, file)
    sections = {name: content[name] for name in SECTIONS if content.get(name)}
    if not sections:
        raise ValueError(
            f"{file}: names no case (expected one or more in {', '.join(SECTIONS[:-1])} or "
            f"{SECTIONS[-1]}). Add the cases."
        )
    for name, entries in sections.items():
        if not isinstance(entries, list):
            raise ValueError(
                f"{file}: invalid section {name} (got {entries!r:.40}, expected a list of cases). "
                "Correct the file."
            )
    return {name: [_case(entry, file) for entry in entries] for name, entries in sections.items()}


def first_file(case: Mapping[str, Any], key: str = "image") -> str:
    """Return the image of a case, or that of its first channel, after which the case is named."""
    return str(files_of(case[key])[0])


def check_listed(cases: Sequence[Case], source: Path) -> None:
    """Check that each listed case has an image and a label of its own, and that the files exist.

    Args:
        cases: of a datalist.
        source: the datalist, named in the error.

    Raises:
        Faults: a line for each label or file that is missing, and each file that two cases share.
    """
    faults = [
        f"{source}: case {first_file(case)} has no label (expected one for each case). Add it, or leave "
        "out the case."
        for case in cases
        if "label" not in case
    ]
    faults += [
        f"{file}: does not exist, but {source} names it. Copy the file there, or correct the datalist."
        for case in cases
        for key in case
        if key in FILES
        for file in files_of(case[key])
        if not (file.is_file() or (key == "image" and file.is_dir()))
    ]
    for key, other in (("image", "label"), ("label", "image")):
        faults += _named_twice(cases, key, other, source)
    if faults:
        raise Faults(*faults)


def _named_twice(cases: Sequence[Case], key: str, other: str, source: Path) -> list[str]:
    counterparts: dict[Path, list[str]] = {}
    for case in cases:
        if key in case:
            theirs = first_file(case, other) if other in case else "none"
            for file in files_of(case[key]):
                counterparts.setdefault(real_path(file), []).append(theirs)
    return [
        f"{file}: the {key} of {len(others)} cases in {source} (expected 1), with the {other}s "
        f"{', '.join(others)}. Correct the datalist."
        for file, others in counterparts.items()
        if len(others) > 1
    ]


def _case(entry: Any, file: Path) -> Case:
    """Parse an entry of a datalist: a path, or an object with `image` and perhaps other keys."""
    fields = {"image": entry} if isinstance(entry, str) else entry
    image = fields.get("image") if isinstance(fields, dict) else None
    given: list[Any] = image if isinstance(image, list) and image else [image]
    images = [one for one in given if isinstance(one, str) and one and "\0" not in one]
    if len(images) != len(given):
        raise ValueError(
            f"{file}: an entry names no image (got {entry!r:.80}, expected a path, or an object with "
            "image and perhaps label). Correct the file."
        )
    paths = [str(file.parent / one) for one in images]
    case: Case = {"image": paths[0] if len(paths) == 1 else paths}
    label = fields.get("label")
    if isinstance(label, str):
        case["label"] = str(file.parent / label)
    return case | _split_keys(fields, file)


def _split_keys(fields: Mapping[str, Any], file: Path) -> Case:
    """Return the group and the fold of an entry, as far as it has them, checked."""
    where = f"{file}: the entry of {first_file(fields)}"
    for key in fields:
        meant = None if key in (*FILES, *SPLIT_KEYS) else _known_key(key)
        others = GROUPS if meant in GROUPS else ("fold",)
        if meant and all(fields.get(other) is None for other in others):
            raise ValueError(
                f"{where} has an unknown key (got {key!r}, expected {meant!r}). Rename it."
            )
    given = {key: fields[key] for key in SPLIT_KEYS if fields.get(key) is not None}
    if all(key in given for key in GROUPS):
        raise ValueError(
            f"{where} has a group and a patient (expected one of them). Leave out the one whose cases "
            "need not stay together."
        )
    for key, value in given.items():
        if key == "fold" and not _is_whole(value):
            raise ValueError(
                f"{where} has an invalid fold (got {value!r:.40}, expected a whole number from 0). "
                "Correct it."
            )
        if key in GROUPS and (value == "" or type(value) not in (str, int)):
            # the value itself may identify a patient
            kind = "an empty text" if value == "" else type(value).__name__
            raise ValueError(
                f"{where} has an invalid {key} (got {kind}, expected a text or a whole number). "
                "Correct it."
            )
    return {key: str(int(value) if key == "fold" else value) for key, value in given.items()}


def _is_whole(value: Any) -> bool:
    return (type(value) is int or (type(value) is float and value.is_integer())) and value >= 0


def _known_key(key: str) -> str | None:
    """Return the key that a misspelt one seems to mean, or None: case, signs or a letter may differ."""
    letters = re.sub("[^a-z]", "", key.lower()).removesuffix("id")
    close = get_close_matches(letters, KNOWN_KEYS, n=1, cutoff=0.88)  # folds, but not inpatient
    swapped = [known for known in KNOWN_KEYS if sorted(known) == sorted(letters)]
    return KNOWN_KEYS[(close or swapped)[0]] if close or swapped else None


def _check_sections(content: Mapping[str, Any], file: Path) -> None:
    """Refuse a section whose name seems to be misspelt: without it the split would be different."""
    for key, entries in content.items():
        if key in SECTIONS or not (isinstance(entries, list) and entries):
            continue
        letters = re.sub("[^a-z]", "", key.lower())
        abbreviated = [name for name in ("training", "validation") if name.startswith(letters)]
        close = abbreviated if len(letters) > 2 else []
        close = close or get_close_matches(letters, SECTIONS, n=1, cutoff=0.85)
        if close and not content.get(close[0]):
            raise ValueError(
                f"{file}: has an unknown section (got {key!r}, expected {close[0]!r}). Rename it."
            )
