"""Output on the terminal: results on stdout; bars, warnings and errors on stderr."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from monai_attn.distributed.process_info import read_process_info
from monai_attn.runs.progress_lines import ProgressLines

out, err = Console(), Console(stderr=True)
messages = logging.getLogger("monai_attn.messages")
messages.propagate = (
    False  # they are printed already: neither a library's handler of the root logger
)
messages.addHandler(logging.NullHandler())  # nor Python's last resort is to repeat them
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "check": logging.WARNING}
quiet = False  # whether only results and errors are shown


def set_verbosity(*, quiet: bool, verbose: bool, log_file: Path | None) -> None:
    """Choose what is shown on stderr, and a file to which all messages are appended.

    Raises:
        ValueError: if both quiet and verbose are asked for, or the file cannot be written or is no log.
    """
    if quiet and verbose:
        raise ValueError("--quiet and --verbose: they exclude each other. Leave one out.")
    globals()["quiet"] = quiet
    logger = logging.getLogger("monai_attn")
    if verbose:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    if log_file:
        try:
            _check_log(log_file)
            file = logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise ValueError(
                f"{log_file}: cannot be written ({error.strerror}). Choose another log file."
            ) from error
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for one in (logger, messages):
            one.addHandler(file)
            one.setLevel(logging.INFO)


def _check_log(path: Path) -> None:
    """Refuse a file that does not begin as a log does: text at its end could destroy it."""
    if path.is_file():
        with path.open("rb") as file:
            begin = file.read(10)
        if begin and not re.match(rb"\d{4}-\d\d-\d\d$", begin):
            raise ValueError(
                f"{path}: is not a log file, so nothing is added to it. Choose another name."
            )


def progress_bars() -> Progress:
    """Return progress bars on stderr that vanish at the end; without a terminal, lines from time to time."""
    hidden = quiet or read_process_info().rank > 0
    if not err.is_terminal and not hidden:
        return ProgressLines(err)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, transient=True, disable=hidden)


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
        update(stage, 0, None)  # from the start, as the first step may take long
        yield partial(update, stage)


def note_layout(data: str | Path | None) -> None:
    """Say which layout of a data set was found, if it has one."""
    from monai_attn.datasets.folder_layouts import layout_name

    name = layout_name(data) if data is not None else ""
    if name:
        out.print(f"data: {shown(data)}: {name}", markup=False, highlight=False, soft_wrap=True)


def written(kind: str, path: object) -> None:
    """Print the path of a file that was written, after its kind, in one line."""
    out.print(f"{kind}: {path}", highlight=False, markup=False, soft_wrap=True)


def shown(text: object) -> str:
    """Return a text in one line, with unprintable characters escaped: a file name may hold any."""
    line = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def complain(kind: str, message: object) -> None:
    """Print one line on stderr, whatever characters the message holds."""
    line = f"{kind}: {shown(message)}"
    messages.log(LEVELS.get(kind, logging.INFO), line)
    if kind == "error" or not quiet:
        err.print(line, markup=False, highlight=False, soft_wrap=True)


def with_flag(text: str, remedy: str) -> str:
    """Return the text of an error with its remedy as the flag of the command line."""
    if not remedy:
        return text
    option, _, value = remedy.partition("=")
    return text.replace(remedy, f"--{option.replace('_', '-')} {value}".rstrip())


def error_lines(error: Exception) -> tuple[list[str], int]:
    """Return a line for each fault of an error that ends the program, and its exit code."""
    from monai_attn.io.errors import Faults, lines_of, remedy_of

    logging.getLogger("monai_attn").debug("it comes from here", exc_info=True)
    if isinstance(error, Faults):
        return [*map(with_flag, lines_of(error), error.remedies)], 2
    if isinstance(error, (ValueError, OSError)):  # a user can fix these
        return [with_flag(line, remedy_of(error)) for line in lines_of(error)], 2
    hint = "(a fault of this program; --debug shows where: please report it)"
    return [f"{line} {hint}" for line in lines_of(error)], 1
