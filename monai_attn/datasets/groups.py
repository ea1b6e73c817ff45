"""Groups of cases from one patient, which stay on one side of every split.

Two scans of one patient, or two slices of one scan, are alike. If one trains and another validates, the
score tells how well the network remembers patients, not how well it does on new ones.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from monai_attn.datasets.datalist import GROUPS, Case, first_file
from monai_attn.datasets.folder_layouts import FIRST
from monai_attn.datasets.scan_names import scan_names
from monai_attn.datasets.visits import find_visits
from monai_attn.io.errors import Faults, ScanWarning

SHOWN = 10  # the largest number of cases that a line names


def group_by_name(cases: Sequence[Case], pattern: str) -> list[Case]:
    """Give each case a `group`, which a regular expression finds in the case's name.

    Args:
        cases: cases without groups from a datalist.
        pattern: its first capture group, or else the whole match, names the patient. It may match
            anywhere in the name, from which nnU-Net's `_0000` is removed.

    Raises:
        ValueError: if the pattern is no regular expression or does not match a name, or a case has a
            group already.

    Example:
        >>> group_by_name([{"image": "p01_t1.nii.gz"}], "^(p[0-9]+)_")
        [{'image': 'p01_t1.nii.gz', 'group': 'p01'}]
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"group pattern {pattern}: not a regular expression ({error}; expected one such as "
            "'^(p[0-9]+)_'). Correct it."
        ) from error
    for case in cases:
        if any(key in case for key in GROUPS):
            raise ValueError(
                f"{first_file(case)}: has a group in its datalist, and the group pattern gives another "
                "(expected one of them). Leave out the pattern."
            )
    names = case_names(cases)
    groups = [_first_group(expression.search(name)) for name in names]
    if not all(groups):
        place = groups.index("")
        raise ValueError(
            f"{first_file(cases[place])}: group pattern {pattern} finds no patient in the name "
            f"{names[place]} ({groups.count('')} of {len(cases)} cases; expected one in each name). "
            "Correct it."
        )
    return [{**case, "group": group} for case, group in zip(cases, groups, strict=True)]


def groups_of(cases: Sequence[Case]) -> list[str] | None:
    """Return the group of each case. Do not show it: it may identify a patient.

    It is the case's `group` or `patient`, or else, for DICOM folders, a digest of the PatientID. A case whose
    PatientID is empty, or that is a file among DICOM folders, is a group of its own.

    Returns:
        A text for each case; None if no patient is known.

    Raises:
        ValueError: if some cases have a group and others do not.
    """
    for key in GROUPS:
        if complete(cases, key):
            return [case[key] for case in cases]
    folders = {place for place, case in enumerate(cases) if Path(first_file(case)).is_dir()}
    if not folders:
        return None
    from monai_attn.io.dicom.patient import patient_digest

    digests = {place: patient_digest(Path(first_file(cases[place]))) for place in folders}
    if not any(digests.values()):
        return None
    return [digests.get(place) or f"case {place}" for place in range(len(cases))]


def patients_of(cases: Sequence[Case]) -> list[list[int]]:
    """Return the indices of each patient's cases; without groups, one case each and a warning by name.

    Raises:
        ValueError: if some cases have a group and others do not.
    """
    groups = groups_of(cases)
    if groups is None:
        warn_of_visits(cases)
        return [[place] for place in range(len(cases))]
    return _members(groups)


def complete(cases: Sequence[Case], key: str) -> bool:
    """Check whether all cases have a key.

    Raises:
        ValueError: if only some cases have the key.
    """
    without = [first_file(case) for case in cases if key not in case]
    if without and len(without) < len(cases):
        raise ValueError(
            f"{without[0]}: has no {key} in its datalist, but others do ({len(without)} of "
            f"{len(cases)} cases lack it). Add it, or remove it from all cases."
        )
    return bool(cases) and not without


def check_sides(cases: Sequence[Case], sides: Sequence[str]) -> None:
    """Refuse a patient with cases on several sides of a split; without groups, warn by the names only.

    Args:
        cases: all cases of the split.
        sides: the side of each case, such as "training" or "fold 1".

    Raises:
        Faults: a line for each such patient.
    """
    groups = groups_of(cases)
    if groups is None:
        warn_of_visits(cases, sides)
    names = case_names(cases)
    faults = []
    for places in _members(groups or []):
        if len({sides[place] for place in places}) > 1:
            members = [f"{names[place]} ({sides[place]})" for place in places]
            more = f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
            faults.append(
                f"{first_file(cases[places[0]])}: cases of one patient on both sides of the split: "
                f"{', '.join(members[:SHOWN])}{more} (expected one side for each patient). Correct the "
                "datalist, or choose another group pattern."
            )
    if faults:
        raise Faults(*faults)


def warn_of_visits(cases: Sequence[Case], sides: Sequence[str] | None = None) -> None:
    """Warn in one line if the names of cases look like several scans of one patient.

    Args:
        cases: cases without groups.
        sides: the side of each case; if given, only scans on different sides count.
    """
    names = case_names(cases)
    visits = find_visits(names)
    pairs = (
        (places[0], other)
        for places in visits
        for other in places[1:]
        if sides is None or sides[other] != sides[places[0]]
    )
    for one, other in pairs:
        warnings.warn(
            f"{first_file(cases[one])}: {names[one]} and {names[other]} look like scans of one patient. If "
            "one trains and one validates, the score is too high. Keep them together with the group "
            f"pattern '{_suggestion(names, visits)}', whose (...) names the patient.",
            ScanWarning,
            stacklevel=3,
        )
        break  # one example is enough


def case_names(cases: Sequence[Case]) -> list[str]:
    """Return the names of cases, without the number of nnU-Net's first channel if all have it."""
    by_image = scan_names([Path(first_file(case)) for case in cases])
    names = [by_image[Path(first_file(case))] for case in cases]
    if all(name.endswith(FIRST) for name in names):
        return [name.removesuffix(FIRST) or name for name in names]
    return names


def _members(groups: Sequence[str]) -> list[list[int]]:
    """Return the indices of each group's members, groups in order of first occurrence."""
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    return [*members.values()]


def _first_group(match: re.Match[str] | None) -> str:
    """Return the first capture group, or the whole match; an empty text if there is no match."""
    if match is None:
        return ""
    return (match[1] if match.re.groups else match[0]) or ""


def _suggestion(names: Sequence[str], visits: Sequence[Sequence[int]]) -> str:
    """Return a simple pattern that groups the names by these visits, or a placeholder."""
    patients = len(names) - sum(len(places) - 1 for places in visits)
    for pattern in ("^(.+)[-_]", "^([^-_]+)"):
        groups = [_first_group(re.search(pattern, name)) for name in names]
        together = all(len({groups[place] for place in places}) == 1 for places in visits)
        if all(groups) and together and len(set(groups)) == patients:
            return pattern
    return "^(...)"
