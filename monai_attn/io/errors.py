"""Errors and warnings as texts for a user, in one line each."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAULTS = (LookupError, TypeError, AttributeError, NameError, ArithmeticError, AssertionError)
WRAPPER = "applying transform"  # the beginning of MONAI's message when it wraps an error


class ScanWarning(UserWarning):
    """A doubt about a scan, in one line that names the file; its labels may be misleading."""


class Faults(ValueError):  # noqa: N818 - it holds several
    """All faults of a data set, not only the first.

    Args:
        faults: one line for each fault, that names the files and the remedy; or an `OptionError`.

    Attributes:
        lines: the lines.
        remedies: for each line the remedy of its `OptionError`, or an empty text.
    """

    def __init__(self, *faults: str | OptionError) -> None:
        super().__init__(*map(str, faults))
        self.lines = tuple(map(str, faults))
        self.remedies = tuple(getattr(fault, "remedy", "") for fault in faults)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class OptionError(ValueError):
    """A fault that an option of the call remedies; the command line turns it into a flag.

    Args:
        before: one line that names the file, up to the option.
        option: name of the option, as a function takes it.
        value: value for it, or a placeholder such as N; None for an option that is to be left out.
        after: rest of the line.

    Example:
        >>> error = OptionError("a.nii: two volumes. Choose one with ", "volume", "N")
        >>> str(error), error.remedy
        ('a.nii: two volumes. Choose one with volume=N.', 'volume=N')
    """

    def __init__(
        self, before: str, option: str, value: str | None = None, after: str = "."
    ) -> None:
        self.option, self.value = option, value
        self.remedy = option if value is None else f"{option}={value}"
        super().__init__(before + self.remedy + after)


def remedy_of(error: BaseException) -> str:
    """Return the remedy of the first `OptionError` in a chain of causes; empty if there is none."""
    remedies = (link.remedy for link in causes_of(error) if isinstance(link, OptionError))
    return next(remedies, "")


@contextmanager
def collect_warnings(strict: bool = False) -> Iterator[list[str]]:
    """Collect scan warnings in a list instead of showing them; if `strict`, raise the first."""
    texts: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always", ScanWarning)
        show = warnings.showwarning

        def note(message: Any, category: type[Warning], *where: Any, **options: Any) -> None:
            if issubclass(category, ScanWarning):
                texts.append(one_line(message))
            else:
                show(message, category, *where, **options)

        warnings.showwarning = note
        yield texts


def warn_of(lines: Iterable[str]) -> None:
    """Give a `ScanWarning` for each line."""
    for line in lines:
        warnings.warn(line, ScanWarning, stacklevel=3)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause, and so on to the root."""
    yield error
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def root_of(error: BaseException) -> BaseException:
    """Return the error at the root of a chain of causes."""
    return [*causes_of(error)][-1]


def reason(error: BaseException) -> str:
    """Return the text of the root error in one line, since libraries wrap errors in their own."""
    return one_line(root_of(error))


def case_error(scan: Path, error: BaseException) -> str:
    """Return one line that names a scan and its error.

    The text is that of the outermost error that names the scan, or else that of the error itself, without
    MONAI's wrapper.
    """
    strict = isinstance(root_of(error), ScanWarning)
    remedy = " (warnings are errors in strict mode)" if strict else ""
    link: BaseException | None = error
    while link is not None:
        if str(scan) in str(link):
            return one_line(link) + remedy
        link = link.__cause__
    why = reason(error) if str(error).startswith(WRAPPER) else one_line(error)
    return f"{scan}: {why}{remedy}"


def lines_of(error: BaseException) -> list[str]:
    """Return the text of an error, one line for each fault."""
    if isinstance(error, Faults):
        return [" ".join(line.split()) for line in error.lines]
    return [one_line(error)]


def one_line(error: BaseException) -> str:
    """Return the text of an error in one line, with its type if the text is not enough."""
    text = " ".join(str(error).split())
    if isinstance(error, FAULTS) or not text:
        return f"{type(error).__name__}: {text}".removesuffix(": ")
    return text
