"""Annealing of hard gates: a high temperature at first, and a low one with truer gradients later."""

from __future__ import annotations

from ignite.engine import Events
from monai.engines import Trainer
from torch import nn

from monai_attn.networks.gates import hard_gates


class AnnealTemperature:
    """A handler for the trainer that lowers the temperature of hard gates by one factor each epoch.

    Args:
        network: the network with the gates.
        epochs: number of epochs of the training.
        start: temperature of the first epoch.
        end: temperature of the last epoch.

    Raises:
        ValueError: if a temperature is not above 0.
    """

    def __init__(
        self, network: nn.Module, epochs: int, start: float = 1.0, end: float = 0.2
    ) -> None:
        self.gates = hard_gates(network)
        if not (start > 0 and end > 0):
            raise ValueError(f"start (={start}) and end (={end}) must be above 0")
        self.epochs = epochs
        self.start = start
        self.end = end

    def attach(self, engine: Trainer) -> None:
        """Set the temperature at the start of each epoch of a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, trainer: Trainer) -> None:
        """Set the temperature of an epoch; it depends only on the number of the epoch."""
        done = (trainer.state.epoch - 1) / max(1, self.epochs - 1)
        for gate in self.gates:
            gate.temperature = self.start * (self.end / self.start) ** done
