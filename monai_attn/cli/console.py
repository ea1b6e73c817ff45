"""Output on the terminal: results on stdout; bars, warnings and errors on stderr."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

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


@contextmanager
def progress_of_stages() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a function that shows the progress of each stage, by its name, in a bar of its own."""
    with progress_bars() as progress:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        yield update


@contextmanager
def progress_of(stage: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that shows the progress of one stage, from what is done and the total."""
    with progress_of_stages() as update:
        yield partial(update, stage)


def written(kind: str, path: object) -> None:
    """Print the path of a file that was written, after its kind, in one line."""
    out.print(f"{kind}: {path}", highlight=False, markup=False, soft_wrap=True)


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
