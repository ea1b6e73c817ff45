"""Learning rates that fall along a cosine or a power, also in a training that is made longer."""

from __future__ import annotations

from typing import Any

from monai.optimizers import WarmupCosineSchedule
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

LENGTH = ("t_total", "warmup_steps")


class WarmupCosine(WarmupCosineSchedule):
    """MONAI's `WarmupCosineSchedule` that keeps its own length when a state is loaded.

    MONAI's takes over the length from the state. A training that is resumed with more epochs would end
    its cosine where the shorter one did, and then rise again. Here the cosine covers all epochs
    again, and continues from the epoch that was reached.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the step of a state, and set the learning rate of that step."""
        super().load_state_dict(
            {name: value for name, value in state_dict.items() if name not in LENGTH}
        )
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


class PolynomialDecay(LambdaLR):
    """A learning rate that falls to 0 along a power of the remaining epochs, as in nnU-Net.

    In epoch e of N, counted from 0, it is `(1 - e / N) ** power` of the first one. Like `WarmupCosine` it
    keeps its own length when a state is loaded.

    Args:
        optimizer: the optimiser, with the first learning rate.
        epochs: number of all epochs.
        power: 1 falls along a line.
    """

    def __init__(self, optimizer: Optimizer, epochs: int, power: float = 0.9) -> None:
        def share(epoch: int) -> float:
            return float(max(0.0, 1 - epoch / epochs) ** power)

        super().__init__(optimizer, share)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the step of a state, and set the learning rate of that step."""
        super().load_state_dict(state_dict)
        self._last_lr = [
            rate * share(self.last_epoch)
            for rate, share in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
