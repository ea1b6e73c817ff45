"""What an error says to a user."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAULTS = (LookupError, TypeError, AttributeError, NameError, ArithmeticError, AssertionError)
WRAPPER = "applying transform"  # how MONAI begins what it raises around an error


class ScanWarning(UserWarning):
    """What is doubtful about a scan, in one line that names the file; its labels may mislead."""


class Faults(ValueError):  # noqa: N818 - it holds several
    """All that is wrong with a data set, and not only the first.

    Args:
        lines: one line each, that names the files and the remedy.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def noted_doubts(strict: bool = False) -> Iterator[list[str]]:
    """Note what is doubtful about scans instead of showing it; if `strict`, the first is an error."""
    noted: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always", ScanWarning)
        show = warnings.showwarning

        def note(message: Any, category: type[Warning], *where: Any, **options: Any) -> None:
            if issubclass(category, ScanWarning):
                noted.append(one_line(message))
            else:
                show(message, category, *where, **options)

        warnings.showwarning = note
        yield noted


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, and so on to the root."""
    yield error
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def root_of(error: BaseException) -> BaseException:
    """The error at the root of another."""
    return [*causes_of(error)][-1]


def reason(error: BaseException) -> str:
    """What lies at the root of an error, in one line: libraries wrap what goes wrong inside them."""
    return one_line(root_of(error))


def case_error(scan: Path, error: BaseException) -> str:
    """One line that names a scan and says what went wrong with it.

    It is the outermost error that names the scan, whatever lies beneath or around it; else the error
    itself, without MONAI's wrapper.
    """
    strict = isinstance(root_of(error), ScanWarning)
    remedy = " (refused by --strict; leave it out to segment it all the same)" if strict else ""
    link: BaseException | None = error
    while link is not None:
        if str(scan) in str(link):
            return one_line(link) + remedy
        link = link.__cause__
    why = reason(error) if str(error).startswith(WRAPPER) else one_line(error)
    return f"{scan}: {why}{remedy}"


def lines_of(error: BaseException) -> list[str]:
    """What an error says, a line for each fault; mostly there is one."""
    if isinstance(error, Faults):
        return [" ".join(line.split()) for line in error.lines]
    return [one_line(error)]


def one_line(error: BaseException) -> str:
    """What an error says, in one line; with its type, where that says more than the text."""
    text = " ".join(str(error).split())
    if isinstance(error, FAULTS) or not text:
        return f"{type(error).__name__}: {text}".removesuffix(": ")
    return text
