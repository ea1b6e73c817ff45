"""Early end of a training that has ceased to improve."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events
from ignite.handlers import EarlyStopping
from monai.engines import Evaluator, Trainer


class EarlyStop:
    """ignite's `EarlyStopping` as a handler of the trainer, by the best metric of its validator.

    MONAI's own handler is for the validator, must be told of the trainer later, and cannot be saved.

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
        """Return the epochs waited, the metric to beat, and the epochs of the whole training."""
        stopping = self._attached()
        total = stopping.trainer.state.max_epochs
        return {"counter": stopping.counter, "best_score": stopping.best_score, "epochs": total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; wait anew if the training now has another number of epochs than before."""
        stopping = self._attached()
        stopping.counter, stopping.best_score = state["counter"], state["best_score"]
        total = stopping.trainer.state.max_epochs
        if state.get("epochs", total) != total:  # a state without it is from an earlier version
            stopping.counter = 0
        if stopping.counter >= self.patience:  # it had ended, and is not trained further
            stopping.trainer.terminate()

    def _score(self, _: Trainer) -> float:
        return self.validator.state.best_metric

    def _attached(self) -> EarlyStopping:
        if self._stopping is None:
            raise RuntimeError("EarlyStop must be attached to a trainer first")
        return self._stopping
