"""Average of the weights over the latest steps, which is validated and kept instead of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.engines import Evaluator, Trainer
from torch import nn

WARM_UP = 20  # factor by which the average follows the weights faster at first


class WeightAverage:
    """Average of the weights during training, with which the validator runs.

    It is ignite's `EMAHandler`, which has no state to save and resume from: not its average, and not the
    number of updates on which its warm-up depends. The average is exponential, updated after every step,
    over the weights and the statistics of batch normalisation. During the first steps, when the weights
    still change a lot, it follows them more closely.

    Args:
        network: the network that is trained, in every process alike.
        validator: the evaluator; it runs the average instead of the network.
        steps: number of steps that the average reaches back, roughly; 0 switches it off.

    Raises:
        ValueError: if `steps` is below 0.

    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".
    """

    def __init__(self, network: nn.Module, validator: Evaluator, steps: int = 0) -> None:
        if steps < 0:
            raise ValueError(f"steps (={steps}) must be 0 or more")
        self.handler: EMAHandler | None = None
        self._warm_up: Any = None
        if steps:
            momentum = 1 / (steps + 1)
            self.handler = EMAHandler(
                network,
                momentum=momentum,
                momentum_warmup=min(1.0, WARM_UP * momentum),
                warmup_iters=steps,
                handle_buffers="update",
            )
            validator.network = self.handler.ema_model

    def attach(self, engine: Trainer) -> None:
        """Average after each step of a trainer."""
        if self.handler:
            self.handler.attach(engine, event=Events.ITERATION_COMPLETED)
            self._warm_up = self.handler.momentum_scheduler

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of its updates."""
        if not self.handler:
            return {}
        weights = self.handler.ema_model.state_dict()
        return {"weights": weights, "updates": self._warm_up.event_index}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore an average; call this after `attach`."""
        if self.handler:
            self.handler.ema_model.load_state_dict(state["weights"])
            self._warm_up.event_index = int(state["updates"])
