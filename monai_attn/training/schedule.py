"""A learning rate that warms up and falls along a cosine, also in a training that is made longer."""

from __future__ import annotations

from typing import Any

from monai.optimizers import WarmupCosineSchedule

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
