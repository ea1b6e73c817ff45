"""Early end of a training that no longer improves."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events
from ignite.handlers import EarlyStopping
from monai.engines import Evaluator, Trainer


class EarlyStop:
    """ignite's `EarlyStopping` as a handler of the trainer, by the best metric of its validator.

    ignite's needs the trainer when it is made; after a resume it trains an epoch more although it had
    stopped, and no more than that if epochs were added. MONAI's is for the validator and cannot be saved.

    Args:
        validator: the evaluator that validates, in every process alike.
        patience: epochs without a better metric after which training ends.
    """

    def __init__(self, validator: Evaluator, patience: int) -> None:
        self.validator = validator
        self.patience = patience
        self._stopping: EarlyStopping | None = None

    def attach(self, engine: Trainer) -> None:
        """Attach to a trainer."""
        self._stopping = EarlyStopping(self.patience, self._score, engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._stopping)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of ignite's handler, and the epochs of the whole training."""
        stopping = self._attached()
        return {**stopping.state_dict(), "epochs": stopping.trainer.state.max_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; count from 0 if the training now has another number of epochs than before."""
        stopping = self._attached()
        stopping.load_state_dict({**stopping.state_dict(), **state})
        total = stopping.trainer.state.max_epochs
        if state.get("epochs", total) != total:  # one of an earlier version has none
            stopping.counter = 0
        if stopping.counter >= self.patience:  # it had ended, and is not trained further
            stopping.trainer.terminate()

    def _score(self, _: Trainer) -> float:
        return self.validator.state.best_metric

    def _attached(self) -> EarlyStopping:
        if self._stopping is None:
            raise RuntimeError("EarlyStop must be attached to a trainer first")
        return self._stopping
