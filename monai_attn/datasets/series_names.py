"""Names of cases from the headers of their DICOM series: a pseudonym, or a pattern that the user chooses."""

from __future__ import annotations

import re
import string
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai_attn.io.dicom.series_index import Series

FIELDS = ("patient", "pseudonym", "date", "number", "description")
UNSAFE = re.compile(r"[^\w.-]+")  # in a file name


def pseudonym(series: Series) -> str:
    """Return a name that does not tell the patient: digests of patient and study, and the series' number.

    Example:
        `patient-3fa2c1_study-9b04_series-5`: all series of a patient begin alike.
    """
    number = series.uid if series.number is None else series.number
    return f"patient-{_digest(series.patient, 6)}_study-{_digest(series.study, 4)}_series-{number}"


def _digest(text: str, digits: int) -> str:
    return sha256(text.encode()).hexdigest()[:digits] if text else "unknown"


def check_pattern(pattern: str) -> None:
    """Check a pattern of names.

    Raises:
        ValueError: if it names an unknown field, or none.
    """
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
    except ValueError:
        fields = []
    if not fields or not {*fields} <= {*FIELDS}:
        listed = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise ValueError(f"name (={pattern!r}) must be made of {listed}. Name one or more of them.")


def name_series(series: Series, pattern: str) -> str:
    """Return the name of a series by a pattern; characters that do not belong in a file name become "-".

    Args:
        series: the series.
        pattern: text with fields in braces: `patient` (PatientID), `pseudonym`, `date` (of the acquisition),
            `number` and `description` (of the series).

    Example:
        `{patient}_{description}` makes `P017_portal-venous`.
    """
    values = {
        "patient": series.patient,
        "pseudonym": pseudonym(series),
        "date": series.acquired[:8],
        "number": "" if series.number is None else str(series.number),
        "description": series.description,
    }
    safe = {name: UNSAFE.sub("-", text.strip()).strip("-") for name, text in values.items()}
    return pattern.format_map({name: text or "unknown" for name, text in safe.items()})
