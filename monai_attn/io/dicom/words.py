"""Numbers and texts of tags, and their format in messages."""

from __future__ import annotations

import re
from collections.abc import Sequence

CONVERT = "convert to NIfTI first (dcm2niix)"
AGAIN = "export the series again"


def numbers_of(text: str) -> tuple[float, ...]:
    """Parse the numbers of a tag; a part that is no number becomes NaN."""

    def number(part: str) -> float:
        try:
            return float(part)
        except ValueError:
            return float("nan")

    return tuple(number(part) for part in text.split("\\"))


def plain(text: str | None, pattern: str) -> str:
    """Return the text if it has the form of a code, else "unknown": a tag may hold a patient's name."""
    return text if text and re.fullmatch(pattern, text) else "unknown"


def by(values: Sequence[float]) -> str:
    """Format sizes, such as "512 x 512 x 80"."""
    return " x ".join(f"{value:g}" for value in values)


def counted(slices: int) -> str:
    """Format a number of slices, such as "1 slice" or "2 slices"."""
    return "1 slice" if slices == 1 else f"{slices} slices"
