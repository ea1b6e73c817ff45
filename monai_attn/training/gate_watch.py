"""Record of the gates during training: a table, curves, events, and a warning when one dies."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Trainer
from monai.networks.utils import eval_mode
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from monai_attn.datasets.ignore import IGNORED
from monai_attn.io.map_encoding import UNSEEN, to_steps
from monai_attn.io.tables import write_table
from monai_attn.metrics.attention_numbers import gate_numbers
from monai_attn.networks.attention_output import WithAttention
from monai_attn.reporting.curves import write_gate_curves
from monai_attn.training.checkpoints import unwrapped
from monai_attn.training.history import History

CLOSED, OPEN = "closed", "open"
WARNINGS = {
    CLOSED: "lets nothing through (alpha below 0.01 everywhere), so that its skip is cut off. If it stays "
    "so, begin again with a lower learning_rate or another seed.",
    OPEN: "lets everything through (alpha above 0.99 everywhere), so that it has no effect. If it stays so, "
    "leave it out by network_def#gated_levels, or give a hard gate a budget, or a lower one.",
    "": "selects again.",
}


@dataclass(frozen=True)
class GateEpoch:
    """Numbers of one gate for the last batch of an epoch, as `GateNumbers` defines them.

    Ignored voxels count in none of them.

    Attributes:
        epoch: its number, from 1.
        gate: the gate's level, 0 is the finest.
        mean: mean of alpha; of a hard gate the part that it selects.
        inside: mean of alpha in any label, None if no window holds one.
        outside: mean of alpha elsewhere.
        dead: part with alpha < 0.01; 1 if the gate selects nothing.
        saturated: part with alpha > 0.99; 1 if it selects everything.
        entropy: mean binary entropy of alpha, bits.
    """

    epoch: int
    gate: int
    mean: float | None
    inside: float | None
    outside: float | None
    dead: float | None
    saturated: float | None
    entropy: float | None

    @property
    def fault(self) -> str:
        """Fault of a gate that makes no choice: `closed` or `open`; empty if it makes one."""
        return CLOSED if self.dead == 1 else OPEN if self.saturated == 1 else ""


MEASURES = tuple(field.name for field in fields(GateEpoch))[2:]


class GateWatch:
    """A handler for MONAI's trainer that writes `attention.csv`, `attention.png` and TensorBoard events.

    After the last step of each epoch the network sees its batch once more, in eval mode and without
    gradients: nothing that training depends on changes, random numbers included. It warns once
    of a gate that lets nothing through any more, or everything, and once of its return. The first of
    several processes does this with its share of the batch; the others take no part. With a network that
    has no gates, or no `forward_with_attention`, nothing happens.

    Args:
        history: history of the same training; its folder and its events are used.
        network: the network that is trained, in every process alike.
        interval: epochs between two drawings of the curves.

    Attributes:
        epochs: the numbers of the gates so far, finest gate first.
    """

    def __init__(self, history: History, network: nn.Module, interval: int = 1) -> None:
        self.history = history
        self.network = unwrapped(network)
        self.interval = interval
        self.epochs: list[GateEpoch] = []

    def attach(self, engine: Trainer) -> None:
        """Attach to a trainer, if its network has gates."""
        if not (self._levels and hasattr(self.network, "forward_with_attention")):
            return
        # before the end of the epoch, when the checkpoint is saved
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._record)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers of the gates so far."""
        return {"epochs": [asdict(row) for row in self.epochs]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the numbers of earlier epochs."""
        self.epochs = [GateEpoch(**row) for row in state["epochs"]]

    @property
    def _levels(self) -> tuple[int, ...]:
        return tuple(getattr(self.network, "gated_levels", ()))

    def _record(self, trainer: Trainer) -> None:
        if trainer.state.iteration % trainer.state.epoch_length or idist.get_rank() > 0:
            return
        epoch = trainer.state.epoch
        images, labels = (
            torch.stack([window[key] for window in trainer.state.output])
            for key in ("image", "label")
        )
        maps = self._maps(trainer, images)
        rows = [
            _row(epoch, level, attention, labels)
            for level, attention in zip(self._levels, maps, strict=True)
        ]
        before = {row.gate: row.fault for row in self.epochs[-len(rows) :]}
        for row in rows:
            if row.fault == before.get(row.gate, "") or (row.fault == OPEN and not before):
                continue  # a new hard gate starts open
            self._warn(row)
        self.epochs += rows
        self._write(rows)
        if epoch % self.interval == 0:
            self._draw(trainer)

    def _maps(self, trainer: Trainer, images: Tensor) -> list[Tensor]:
        """Return the attention (B, 1, *coarser) of each gate for windows (B, C, *spatial)."""
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices), eval_mode(self.network):
            _, *maps = trainer.inferer(images, WithAttention(self.network))
        return maps

    def _write(self, rows: Sequence[GateEpoch]) -> None:
        table = [asdict(row) for row in self.epochs]
        names = [field.name for field in fields(GateEpoch)]
        write_table(self.history.folder / "attention.csv", table, names, table)
        for row in rows:
            events = self.history.events(row.epoch)
            for name in MEASURES:
                value = getattr(row, name)
                if value is not None:
                    events.add_scalar(f"gate_{row.gate}/{name}", value, row.epoch)

    def _end(self, trainer: Trainer) -> None:
        """Warn of gates that have been open in all epochs, and draw the curves."""
        for last in self.epochs[-len(self._levels) :] if idist.get_rank() == 0 else ():
            if all(row.fault == OPEN for row in self.epochs if row.gate == last.gate):
                self._warn(last)
        self._draw(trainer)

    def _warn(self, row: GateEpoch) -> None:
        place = f"{self.history.folder}: epoch {row.epoch}: the gate of level {row.gate}"
        warnings.warn(f"{place} {WARNINGS[row.fault]}", stacklevel=2)

    def _draw(self, _: Trainer) -> None:
        if self.epochs and idist.get_rank() == 0:
            write_gate_curves(self.epochs, self.history.folder / "attention.png")


def _row(epoch: int, level: int, attention: Tensor, labels: Tensor) -> GateEpoch:
    """Compute the numbers of a map (B, 1, *coarser) against labels (B, 1, *spatial)."""
    # each place of the map stands for the voxels that it covers: no new values appear in between
    full = F.interpolate(attention.float(), size=labels.shape[2:], mode="nearest-exact")
    stored = torch.nan_to_num(to_steps(full), nan=UNSEEN).to(torch.uint8)
    ignored = labels == IGNORED  # counts as if nothing had been looked at there
    stored, labels = (
        stored.masked_fill(ignored, UNSEEN),
        labels.to(torch.int32).masked_fill(ignored, 0),
    )
    numbers = gate_numbers(_array(stored), _array(labels))
    return GateEpoch(epoch, level, **{name: getattr(numbers, name) for name in MEASURES})


def _array(tensor: Tensor) -> NDArray[Any]:
    """Convert a tensor (B, 1, *spatial) to an array (B, *spatial)."""
    return np.asarray(tensor[:, 0].cpu())
