"""Numbers and words of tags, and how messages put them."""

from __future__ import annotations

import re
from collections.abc import Sequence

CONVERT = "convert to NIfTI first (dcm2niix)"
AGAIN = "export the series again"


def numbers_of(text: str) -> tuple[float, ...]:
    """The numbers of a tag; NaN for what is none."""

    def number(part: str) -> float:
        try:
            return float(part)
        except ValueError:
            return float("nan")

    return tuple(number(part) for part in text.split("\\"))


def plain(text: str | None, pattern: str) -> str:
    """The text if it has the form of a code, else "unknown": a tag may hold a patient's name."""
    return text if text and re.fullmatch(pattern, text) else "unknown"


def by(values: Sequence[float]) -> str:
    """Sizes, as people write them."""
    return " x ".join(f"{value:g}" for value in values)


def counted(slices: int) -> str:
    """So many slices."""
    return "1 slice" if slices == 1 else f"{slices} slices"
