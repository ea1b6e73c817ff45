"""Output on the terminal: results on stdout; bars, warnings and errors on stderr."""

from __future__ import annotations

import logging

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

out, err = Console(), Console(stderr=True)


def progress_bars() -> Progress:
    """Return progress bars on stderr that vanish at the end."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def shown(text: object) -> str:
    """Return a text in one line, with unprintable characters escaped: a file name may hold any."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def complain(kind: str, message: object) -> None:
    """Print one line on stderr, whatever characters the message holds."""
    err.print(f"{kind}: {shown(message)}", markup=False, highlight=False, soft_wrap=True)


def error_lines(error: Exception) -> tuple[list[str], int]:
    """Return a line for each fault of an error that ends the program, and its exit code."""
    from monai_attn.io.errors import lines_of

    logging.getLogger("monai_attn").debug("it comes from here", exc_info=True)
    if isinstance(error, (ValueError, OSError)):  # a user can fix these
        return [*lines_of(error)], 2
    hint = "(a fault of this program; --debug shows where: please report it)"
    return [f"{line} {hint}" for line in lines_of(error)], 1
