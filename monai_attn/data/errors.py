"""What an error says to a user."""

from __future__ import annotations

from pathlib import Path

WRAPPER = "applying transform"  # how MONAI begins what it raises around an error


class ScanWarning(UserWarning):
    """What is doubtful about a scan, in one line that names the file; its labels may mislead."""


def reason(error: BaseException) -> str:
    """What lies at the root of an error, in one line: libraries wrap what goes wrong inside them."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _one_line(error)


def case_error(scan: Path, error: BaseException) -> str:
    """One line that names a scan and says what went wrong with it.

    It is the outermost error that names the scan, whatever lies beneath or around it; else the error
    itself, without MONAI's wrapper.
    """
    link: BaseException | None = error
    while link is not None:
        if str(scan) in str(link):
            return _one_line(link)
        link = link.__cause__
    why = reason(error) if str(error).startswith(WRAPPER) else _one_line(error)
    return f"{scan}: {why}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
