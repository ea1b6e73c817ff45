"""A limit of the gradient, so that one step cannot spoil a training with much momentum."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import nn
from torch.nn.utils import clip_grad_norm_


class GradientLimit:
    """A handler that scales the gradient of each step down to a norm, after the backward pass.

    Args:
        network: the network that is trained.
        norm: largest norm of the gradient of all weights together; nnU-Net takes 12.

    Raises:
        ValueError: if the norm is not above 0.
    """

    def __init__(self, network: nn.Module, norm: float = 12.0) -> None:
        if not norm > 0:
            raise ValueError(f"norm (={norm}) must be above 0")
        self.network = network
        self.norm = norm

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Limit the gradient."""
        clip_grad_norm_(self.network.parameters(), self.norm)
