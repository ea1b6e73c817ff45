"""Progress of filling the cache: in the first epoch most time passes there, before a step is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress, TaskID

from monai_attn.runs.ticker import Ticker
from monai_attn.training.case_cache import CachedCases

EVERY = 1.0  # seconds between two looks at the folder


class CacheProgress:
    """A task of a progress bar: how many of the cases that were missing in a cache are there.

    Workers of a data loader fill the cache in processes of their own, so their files are counted.

    Args:
        progress: the bars, or the lines.
        every: seconds between two counts.
    """

    def __init__(self, progress: Progress, every: float = EVERY) -> None:
        self.progress = progress
        self._missing: Sequence[Path] = ()
        self._task: TaskID | None = None
        self._ticker = Ticker(self.count, every, "cache progress")

    def start(self, dataset: object) -> None:
        """Begin to count, if the data set has a cache that lacks cases."""
        if not isinstance(dataset, CachedCases):
            return
        self._missing = dataset.missing_entries()
        if not self._missing:
            return
        self._task = self.progress.add_task("caching", total=len(self._missing))
        self._ticker.start()

    def stop(self) -> None:
        """Stop counting, and remove the task; do nothing if there is none."""
        self._ticker.stop()
        if self._task is not None:
            self.progress.remove_task(self._task)
            self._task = None

    def count(self) -> None:
        """Show how many of the missing cases are there now."""
        if self._task is not None:
            done = sum(entry.is_file() for entry in self._missing)
            self.progress.update(self._task, completed=done)
