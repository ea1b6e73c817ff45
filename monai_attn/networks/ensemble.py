"""Several networks as one: the mean of their probabilities, given as logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid


class Ensemble(nn.Module):
    """Several networks of one task, whose probabilities are averaged.

    The output has the form of one network's: its softmax is the mean of the members' softmax, and with
    `sigmoid` its sigmoid is the mean of their sigmoids. So it takes the place of one network everywhere, and
    a scan is stitched once.

    Args:
        members: networks from (B, C, *spatial) to logits (B, K, *spatial), in eval mode.
        temperatures: the value that divides the logits of each member, see
            `monai_attn.metrics.calibration`; 1 by default.
        sigmoid: whether the channels are independent regions, and not classes of which one is right.

    Raises:
        ValueError: if there is no member, or not one temperature above 0 for each.

    Example:
        >>> sure, unsure = (nn.Conv2d(1, 2, 1) for _ in range(2))
        >>> Ensemble([sure, unsure], (1.0, 1.5))(torch.rand(1, 1, 8, 8)).shape
        torch.Size([1, 2, 8, 8])
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        temperatures: Sequence[float] | None = None,
        *,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.temperatures = tuple(temperatures or [1.0] * len(members))
        self.sigmoid = sigmoid
        if not members or len(self.temperatures) != len(members) or min(self.temperatures) <= 0:
            raise ValueError(
                f"temperatures (={self.temperatures}) must be above 0, one for each of the "
                f"{len(members)} members (one or more)"
            )
        self.members = nn.ModuleList(members)
        self.train(all(member.training for member in members))

    @property
    def gated_levels(self) -> tuple[int, ...]:
        """The levels that have a gate in every member; empty if the members differ."""
        levels = {tuple(getattr(member, "gated_levels", ())) for member in self.members}
        return levels.pop() if len(levels) == 1 else ()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, K, *spatial) of the mean probabilities of x."""
        return self._mean([member(x) for member in self.members])

    def forward_with_attention(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the mean over the members of each gate's map, finest first."""
        outputs = [member.forward_with_attention(x) for member in self.members]  # type: ignore[operator]
        maps = zip(*[member_maps for _, member_maps in outputs], strict=True)
        return self._mean([logits for logits, _ in outputs]), [
            torch.stack(level).mean(dim=0) for level in maps
        ]

    def mapped(self, change: Callable[[nn.Module], nn.Module]) -> Ensemble:
        """Return the ensemble of the changed members."""
        changed = [change(member) for member in self.members]
        return Ensemble(changed, self.temperatures, sigmoid=self.sigmoid)

    def _mean(self, logits: Sequence[Tensor]) -> Tensor:
        soft = [
            one.float() / temperature
            for one, temperature in zip(logits, self.temperatures, strict=True)
        ]
        # in logarithms: a probability of 1 - 1e-9 is not rounded to 1, and no logit is infinite
        if self.sigmoid:
            yes, no = (
                torch.stack([logsigmoid(sign * one) for one in soft]).logsumexp(dim=0)
                for sign in (1, -1)
            )
            return yes - no
        log_means = torch.stack([log_softmax(one, dim=1) for one in soft]).logsumexp(dim=0)
        return log_means - math.log(len(soft))
