"""The best weights and the state of a training, in files that are whole at any moment.

The best weights so far are what a bundle loads. `last.pt` holds all that training needs to continue after
its last epoch, `previous.pt` the same for the epoch before.

MONAI's `CheckpointSaver` writes directly into the final file, so that a full disk or a kill leaves half
of it. ignite's `Checkpoint` with `DiskSaver(atomic=True)` does not, but it deletes the old state before the
new one is on the disk, a kill leaves its temporary file, an error does not name the file, and nothing goes
back to the state before if the last one is damaged.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Evaluator, Trainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_attn.inference.weights import read_weights
from monai_attn.io.errors import reason
from monai_attn.io.files import atomic_write
from monai_attn.training.tensor_file import save_tensors

LAST, PREVIOUS = "last.pt", "previous.pt"
log = logging.getLogger(__name__)


class Stateful(Protocol):
    """An object whose state can be saved and restored: an optimizer, a scheduler, a handler."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that is needed to continue."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Restore a state."""


class Checkpoints:
    """A handler for MONAI's trainer that writes checkpoints, and resumes from the last one.

    Random numbers need no saving: those of an epoch follow from the seed and its number. A training that
    starts from the weights in `best`, as when a client goes on from those of a bundle, scores them first,
    and replaces them only by better ones.

    Args:
        folder: the folder of `last.pt` and `previous.pt`.
        best: the file for the best weights.
        network: in every process alike; the first process writes.
        parts: optimizer, scheduler, handlers, under the names they are saved by.
        validator: the evaluator whose metric decides which weights are the best.
        resume: resume from the last checkpoint, if there is one.

    Raises:
        ValueError: when training starts, if no checkpoint can be read, or it is of another network.
    """

    def __init__(
        self,
        folder: str | Path,
        best: str | Path,
        network: nn.Module,
        parts: Mapping[str, Stateful],
        validator: Evaluator,
        resume: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.network = unwrapped(network)
        self.parts = dict(parts)
        self.validator = validator
        self.best = Path(best)
        self.resume = resume
        self._is_scoring_start = False

    def attach(self, engine: Trainer) -> None:
        """Attach to a trainer and to the validator, after all handlers that change the saved state."""
        if self.resume:
            engine.add_event_handler(Events.STARTED, self._restore)
        engine.add_event_handler(Events.STARTED, self._score_start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_last)
        engine.add_event_handler(Events.COMPLETED, self._ensure_best)
        self.validator.add_event_handler(Events.EPOCH_COMPLETED, self._save_best)

    def _score_start(self, trainer: Trainer) -> None:
        """Validate the weights at the start as those of epoch 0, if they are the best so far."""
        state = self.validator.state
        if trainer.state.epoch > 0 or not state.epoch_length or not self._starts_from_best():
            return
        self._is_scoring_start = True
        self.validator.run()  # `run(0)` would run two epochs
        self._is_scoring_start = False
        state.epoch = state.best_metric_epoch = 0
        log.info(f"weights at the start: {state.key_metric_name} {state.best_metric:.4f}")

    def _starts_from_best(self) -> bool:
        """Return True if the validator's network has the weights in the file of the best ones."""
        if not self.best.is_file():
            return False
        own = unwrapped(self.validator.network).state_dict()
        try:
            stored = read_weights(self.best, torch.device("cpu"))
            return own.keys() == stored.keys() and all(
                torch.equal(tensor.cpu(), stored[name]) for name, tensor in own.items()
            )
        except (
            ValueError,
            AttributeError,
            TypeError,
        ):  # no weights: the training will replace them
            return False

    def _save_best(self, validator: Evaluator) -> None:
        is_best = validator.state.best_metric_epoch == validator.state.epoch
        if is_best and not self._is_scoring_start:
            self._write_best()

    def _ensure_best(self, trainer: Trainer) -> None:
        """Keep the last weights of a training without any validation, unless better ones were there."""
        state = self.validator.state
        if state.best_metric_epoch < 0:
            self._write_best()
        if state.best_metric_epoch == 0 and state.epoch < trainer.state.epoch:
            self.validator.run(trainer.state.epoch)
        if state.best_metric_epoch == 0:
            log.warning(
                f"{self.best}: the weights are kept, since no epoch scored better ({state.key_metric_name} "
                f"{state.best_metric:.4f} at the start). Train for more epochs or with another learning_rate."
            )

    def _write_best(self) -> None:
        """Keep the weights that the validator runs, which may be an average of those that are trained."""
        self._write(self.best, unwrapped(self.validator.network).state_dict())

    def _save_last(self, trainer: Trainer) -> None:
        state = {
            "epoch": trainer.state.epoch,
            "best_metric": float(self.validator.state.best_metric),
            "best_metric_epoch": int(self.validator.state.best_metric_epoch),
            "network": self.network.state_dict(),
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "scaler": trainer.scaler.state_dict() if trainer.scaler else None,
        }
        self._write(self.folder / LAST, state)

    def _write(self, path: Path, state: Any) -> None:
        if idist.get_rank() > 0:
            return
        with atomic_write(path) as file:
            save_tensors(state, file)
            file.flush()  # a full disk raises here, before the last state is renamed
            if path.name == LAST and path.is_file():
                path.replace(path.with_name(PREVIOUS))

    def _restore(self, trainer: Trainer) -> None:
        state = read_state(self.folder)
        if state is None:
            return
        try:
            self.network.load_state_dict(state["network"])
            for name, part in self.parts.items():
                part.load_state_dict(state["parts"][name])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.folder / LAST}: is of another network or training ({reason(error):.200}). Resume "
                "with the settings that it began with, or begin in another folder."
            ) from error
        if trainer.scaler and state["scaler"]:
            trainer.scaler.load_state_dict(state["scaler"])
        trainer.state.epoch = state["epoch"]
        trainer.state.iteration = state["epoch"] * trainer.state.epoch_length
        self.validator.state.best_metric = state["best_metric"]
        self.validator.state.best_metric_epoch = state["best_metric_epoch"]


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network itself, without the wrapper that several processes share it by."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def read_state(folder: Path) -> dict[str, Any] | None:
    """Read the last state that can be read, onto the CPU; return None if none was written.

    If `last.pt` is damaged, it warns and reads `previous.pt`.

    Raises:
        ValueError: if states were written, but none can be read.
    """
    files = [folder / name for name in (LAST, PREVIOUS) if (folder / name).is_file()]
    faults = []
    for file in files:
        try:
            with warnings.catch_warnings():  # torch warns about a file that it then refuses
                warnings.simplefilter("ignore")
                state = torch.load(file, map_location="cpu", weights_only=True)
            int(state["epoch"])
        except Exception as error:  # a damaged pickle can raise anything
            faults.append(f"{file}: cannot be read as a checkpoint ({reason(error):.200})")
            continue
        for fault in faults:
            warnings.warn(f"{fault}. Resuming from {file}, one epoch earlier.", stacklevel=2)
        return state
    if faults:
        raise ValueError(f"{faults[0]}. Begin again in another folder.")
    return None
