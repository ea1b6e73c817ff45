"""Progress of a training on stderr: a bar or, without a terminal, lines; and a line for each epoch."""

from __future__ import annotations

from datetime import timedelta

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monai_attn.runs.progress_lines import ProgressLines
from monai_attn.training.cache_progress import CacheProgress
from monai_attn.training.history import Epoch, History


class ProgressBar:
    """A handler for MONAI's trainer that shows its steps, and a line after each epoch, on stderr.

    ignite's `ProgressBar` needs tqdm, and has no line for each epoch with the rate and the time left.

    Args:
        history: source of the line for each epoch; attached before it.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._bar = (
            Progress(*columns, console=self.console, transient=True)
            if self.console.is_terminal
            else ProgressLines(self.console)
        )
        self._cache = CacheProgress(self._bar)

    def attach(self, engine: Trainer) -> None:
        """Attach to a trainer, only in the first process."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._line)
        engine.add_event_handler(Events.COMPLETED, self._end)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _begin(self, trainer: Trainer) -> None:
        steps = trainer.state.max_epochs * trainer.state.epoch_length
        self._task = self._bar.add_task("training", total=steps, completed=trainer.state.iteration)
        self._cache.start(getattr(trainer.state.dataloader, "dataset", None))
        self._bar.start()

    def _step(self, trainer: Trainer) -> None:
        self._bar.update(self._task, completed=trainer.state.iteration)

    def _line(self, trainer: Trainer) -> None:
        self._cache.stop()  # the first epoch has filled it
        done, epochs = self.history.epochs, trainer.state.max_epochs
        self._bar.console.print(
            epoch_line(done, epochs, self.history.metric_name), highlight=False, soft_wrap=True
        )

    def _end(self, _: Trainer) -> None:
        """Stop and forget the task: federated learning runs a trainer once in each round."""
        self._cache.stop()
        self._bar.stop()
        self._bar.remove_task(self._task)

    def _fail(self, _: Trainer, error: BaseException) -> None:
        self._cache.stop()
        self._bar.stop()
        raise error


def epoch_line(done: list[Epoch], epochs: int, metric_name: str) -> str:
    """Return a line on the last epoch, and on the time that the remaining epochs will take."""
    last = done[-1]
    parts = [f"epoch {last.epoch}/{epochs}", f"loss {last.loss:.4f}"]
    if last.metric is not None:
        parts.append(f"{metric_name} {last.metric:.4f}")
    parts.append(f"{last.windows / max(last.seconds, 1e-9):.2f} windows/s")
    # an epoch that fills the cache takes longer than those to come
    recent = [epoch.seconds for epoch in done[-5:]]
    left = timedelta(seconds=round(min(recent) * (epochs - last.epoch)))
    return "  ".join([*parts, "done" if last.epoch == epochs else f"{left} left"])
