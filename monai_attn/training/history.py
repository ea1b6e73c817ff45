"""Record of each epoch of a training: as a table, as curves, and for TensorBoard."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Evaluator, Trainer
from tensorboardX import SummaryWriter

from monai_attn.io.tables import write_table
from monai_attn.reporting.curves import write_curves


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training.

    Attributes:
        epoch: its number, from 1.
        loss: mean over its steps and all processes.
        metric: the validator's metric, if it validated.
        learning_rate: learning rate of its steps.
        windows: windows that the network saw, in all processes.
        seconds: time that its steps took, without validation.
    """

    epoch: int
    loss: float
    metric: float | None
    learning_rate: float
    windows: int
    seconds: float


class History:
    """A handler for MONAI's trainer that writes `progress.csv`, `curves.png` and TensorBoard events.

    Args:
        folder: the folder to write them to.
        validator: the evaluator whose key metric is followed.

    Attributes:
        epochs: the epochs so far.
    """

    def __init__(self, folder: str | Path, validator: Evaluator) -> None:
        self.folder = Path(folder)
        self.validator = validator
        self.epochs: list[Epoch] = []
        self._events: SummaryWriter | None = None

    @property
    def metric_name(self) -> str:
        """The key metric's name."""
        return str(self.validator.state.key_metric_name)

    def attach(self, engine: Trainer) -> None:
        """Attach to a trainer, after its validation handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs so far."""
        return {"epochs": [asdict(epoch) for epoch in self.epochs]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore earlier epochs."""
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]

    def _begin(self, trainer: Trainer) -> None:
        self._losses: list[float] = []
        self._windows = 0
        self._rate = trainer.optimizer.param_groups[0]["lr"]
        self._start = self._last = time.perf_counter()

    def _count(self, trainer: Trainer) -> None:
        outputs = trainer.state.output  # one for each window, with the loss of the step
        self._losses.append(float(outputs[0]["loss"]))
        self._windows += len(outputs)
        self._last = time.perf_counter()

    def _write(self, trainer: Trainer) -> None:
        validated = self.validator.state.epoch == trainer.state.epoch
        row = Epoch(
            epoch=trainer.state.epoch,
            loss=float(idist.all_reduce(fmean(self._losses))) / idist.get_world_size(),
            metric=float(self.validator.state.metrics[self.metric_name]) if validated else None,
            learning_rate=float(self._rate),
            windows=int(idist.all_reduce(self._windows)),
            seconds=round(self._last - self._start, 3),
        )
        if not math.isfinite(row.loss):
            raise ValueError(
                f"{self.folder}: the loss of epoch {row.epoch} is not finite (got {row.loss}). Begin again "
                "with a lower learning_rate, or look for scans whose values are not HU."
            )
        self.epochs.append(row)
        if idist.get_rank() == 0:
            self._write_table()
            self._write_events(row)
            if validated or trainer.state.epoch == trainer.state.max_epochs:
                write_curves(self.epochs, self.metric_name, self.folder / "curves.png")

    def _write_table(self) -> None:
        rows = [asdict(epoch) for epoch in self.epochs]
        write_table(
            self.folder / "progress.csv", rows, [field.name for field in fields(Epoch)], rows
        )

    def events(self, epoch: int) -> SummaryWriter:
        """Return the writer of TensorBoard events for an epoch; call it only in the first process."""
        if self._events is None:  # hides events that an interrupted run wrote from here on
            self._events = SummaryWriter(str(self.folder), purge_step=epoch)
        return self._events

    def _write_events(self, row: Epoch) -> None:
        events = self.events(row.epoch)
        events.add_scalar("loss", row.loss, row.epoch)
        events.add_scalar("learning_rate", row.learning_rate, row.epoch)
        if row.metric is not None:
            events.add_scalar(self.metric_name, row.metric, row.epoch)
        events.flush()

    def _close(self, _: Trainer) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
