"""Progress where there is no terminal: plain lines, as a log of a job or a notebook can hold them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import Progress, Task

from monai_attn.runs.ticker import Ticker

EVERY = 20.0  # seconds between two lines


class ProgressLines(Progress):
    """Progress of tasks as a line every 20 seconds, with what is done and the time left.

    It has the methods of rich's `Progress`, which shows nothing at all without a terminal. The lines go on
    while no task advances, so that a log shows that the process lives.

    Args:
        console: where the lines go.
        every: seconds between two lines.

    Example:
        >>> with ProgressLines(Console(), every=60) as progress:
        ...     task = progress.add_task("cases", total=3)
        ...     progress.update(task, completed=1)
    """

    def __init__(self, console: Console, every: float = EVERY) -> None:
        super().__init__(console=console, disable=True)
        self._ticker = Ticker(self._write, every, "progress lines")

    def start(self) -> None:
        """Begin to write lines, also after a stop."""
        self._ticker.start()

    def stop(self) -> None:
        """Write no further line."""
        self._ticker.stop()

    def line(self) -> str:
        """Return the line of the unfinished tasks; empty if there is none."""
        return "; ".join(_words(task) for task in self.tasks if not task.finished)

    def _write(self) -> None:
        if line := self.line():
            options: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}
            self.console.print(line, **options)


def _words(task: Task) -> str:
    done = f"{task.description}: {task.completed:g}"
    if task.total is None:
        return done
    left = task.time_remaining
    rest = "" if left is None else f", {timedelta(seconds=round(left))} left"
    return f"{done} of {task.total:g}{rest}"
