"""Names that look like several scans of one patient, such as `p01_t1` and `p01_t2`.

Only the names are known here, so the rules rather miss a pair than report plainly numbered cases, such as
`FLARE22_Tr_0001` and `FLARE22_Tr_0002`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# a patient's name, then the end that distinguishes scans of one patient
COUNTED = re.compile(  # a named number: p01_t1, 0001_z058, sub-01_ses-02, p01_m06
    r"(.+[-_ ]|.*\d)(?:(?<=[-_ ])[dmwy]|tp?|v|z|day|week|month|year|visit|ses|session|time|timepoint"
    r"|scan|study|exam|series|run|phase|part|crop|patch|slice)[-_]?\d+",
    re.IGNORECASE,
)
DATED = re.compile(
    r"(.+[-_ ])(?:19|20)\d\d[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])", re.IGNORECASE
)
WORDED = re.compile(
    r"(.+[-_ ])(?:pre|post|base|baseline|followup|fu|early|late|delayed|native|arterial|venous|portal"
    r"|left|right)",
    re.IGNORECASE,
)
LETTERED = re.compile(r"(.+[-_ ]|.*\d)[a-z]", re.IGNORECASE)  # case_a, 001b
NUMBERED = re.compile(r"(.+[-_ ])(\d+)")  # BraTS2021_00001_1
LAST = re.compile(r"[-_ .][^-_ .]+$")


def find_visits(names: Sequence[str]) -> list[list[int]]:
    """Group names that look like scans of one patient.

    Args:
        names: names of the cases.

    Returns:
        The indices of the names, for each patient with two or more; an empty list without such a patient.

    Example:
        >>> find_visits(["p01_t1", "p01_t2", "p02_t1"]), find_visits(["case_001", "case_002"])
        ([[0, 1]], [])
    """
    names = _without_common_end(names)
    if len(set(names)) < len(names):  # such as ct.nii.gz in a folder for each case: no information
        return []
    for pattern in (COUNTED, DATED, WORDED, LETTERED, NUMBERED):
        stems: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            match = pattern.fullmatch(name)
            if match:
                stems.setdefault(match[1].rstrip("-_ "), []).append(place)
        visits = [
            places
            for stem, places in stems.items()
            if len(places) > 1
            and _names_patient(stem, [names[place] for place in places], pattern, len(stems) > 1)
        ]
        if visits:
            return visits
    return []


def _names_patient(stem: str, names: list[str], pattern: re.Pattern[str], several: bool) -> bool:
    """Check whether a stem can be a patient's name, rather than that of the data set.

    Args:
        stem: the common beginning of the names.
        names: names of its cases.
        pattern: the pattern that split them.
        several: whether there are other stems.
    """
    if pattern in (WORDED, LETTERED):
        return True
    last = re.split("[-_ ]", stem)[-1]
    if pattern is not NUMBERED:
        return several or bool(re.fullmatch(r"[a-z]?\d+", last, re.IGNORECASE))
    if not last[-1:].isdigit() or re.fullmatch(r"(19|20)\d\d", last):  # a year
        return False
    digits = max(len(name) - len(stem) - 1 for name in names)
    # a patient's number is longer than its centre's, and a visit's is shorter than its patient's
    return digits < len(last) if last.isdigit() else several and digits <= 2


def _without_common_end(names: Sequence[str]) -> list[str]:
    """Remove the ends that all names share, such as `_0000` of nnU-Net or `_ct`."""
    short = list(names)
    while len(short) > 1:
        ends = {end[0] if (end := LAST.search(name)) else "" for name in short}
        if len(ends) > 1 or ends == {""}:
            break
        short = [name.removesuffix(*ends) for name in short]
    return short if all(short) else list(names)
