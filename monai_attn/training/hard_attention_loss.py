"""Loss of a network with hard gates, for the labels and for the choices that led to them."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn

from monai_attn.datasets.ignore import IGNORED
from monai_attn.networks.gates import SampledOutput, hard_gates


class HardAttentionLoss(nn.Module):
    """A segmentation loss, plus terms for the choices that the hard gates drew.

    With the loss L_b of each case b of a batch, its choices a_b of all gates, and their probabilities p,

    total = mean_b L_b + score_weight * mean_b (L_b - baseline) * log p(a_b)
            + budget_weight * sum_gates (mean p - budget)^2 - entropy_bonus * mean_gates H(p)

    where L_b - baseline counts as a constant. The second term is there for the gates of the estimator
    "reinforce": the expectation of its gradient is the gradient of the expected loss by the choices
    (Williams 1992, doi:10.1007/BF00992696) with a `score_weight` of 1; less gives up exactness for less
    noise. That holds where a case's loss depends only on its own choices: batch normalisation adds those
    of other cases, which are left out here. The baseline, a moving average of the losses of earlier
    steps, reduces noise and adds no bias; the first step, which has none, leaves the term out. The third
    term is there for gates with a budget, its mean over all processes; the fourth for all.

    Args:
        loss: from logits (B, C, *spatial), or a list of them, and a label (B, 1, *spatial) to a number.
        network: the network with the gates.
        score_weight: weight of the score function estimate.
        entropy_bonus: reward for undecided gates, for each nat of their entropy.
        budget_weight: cost of missing a budget.
        momentum: momentum of the moving average, 0 to 1; near 1 it is long.
        ignore: the ignore value in the label files, if there is one. A case with all voxels ignored then
            has no part in the second term and in the baseline: its loss of 0 is no success. The third
            and the fourth term do not depend on labels.

    Raises:
        ValueError: if the network has no hard gate, or momentum is out of range.
    """

    total: Tensor
    steps: Tensor

    def __init__(
        self,
        loss: nn.Module,
        network: nn.Module,
        *,
        score_weight: float = 1.0,
        entropy_bonus: float = 0.0,
        budget_weight: float = 10.0,
        momentum: float = 0.9,
        ignore: int | None = None,
    ) -> None:
        super().__init__()
        self.gates = hard_gates(network)
        if not self.gates:
            raise ValueError("the network has no hard gate. Set network_def#gate to 'hard'.")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum (={momentum}) must be at least 0 and below 1")
        self.loss = loss
        self.score_weight = score_weight
        self.entropy_bonus = entropy_bonus
        self.budget_weight = budget_weight
        self.momentum = momentum
        self.ignore = ignore
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @property
    def baseline(self) -> Tensor:
        """The average loss of earlier steps; 0 before the first."""
        return self.total / (1 - self.momentum ** self.steps.clamp(min=1))

    def forward(self, output: SampledOutput, label: Tensor) -> Tensor:
        """Compute the total for a batch, from the network's output in train mode.

        Raises:
            RuntimeError: if the output has no draws of this batch.
        """
        draws = output.draws if isinstance(output, SampledOutput) else ()
        if len(draws) != len(self.gates) or any(len(one.selected) != len(label) for one in draws):
            raise RuntimeError(
                "a hard gate drew nothing for this batch; call the network's train() first"
            )
        logits = output.logits
        cases = torch.stack(
            [self.loss(_case(logits, i), label[i : i + 1]) for i in range(len(label))]
        )
        total = cases.mean()
        known = 1.0 if self.ignore is None else _any_known(label)
        for gate, draw in zip(self.gates, draws, strict=True):
            if gate.estimator == "reinforce" and self.steps > 0:
                advantage = known * (cases.detach() - self.baseline)
                total = total + self.score_weight * (advantage * draw.log_probability).mean()
            if gate.budget is not None:
                selected = draw.selected.mean()
                missed = _mean_of_all(selected) - gate.budget
                # the square of all processes; each has its share of the gradient
                square = missed**2 + 2 * missed * (selected - selected.detach())
                total = total + self.budget_weight * square
            total = total - self.entropy_bonus / len(draws) * draw.entropy.mean()
        share = 1.0 if isinstance(known, float) else _mean_of_all(known.mean())
        if share:
            self._count(_mean_of_all((known * cases).mean()) / share)
        return total

    def _count(self, loss: float) -> None:
        """Update the moving average."""
        self.total.mul_(self.momentum).add_((1 - self.momentum) * loss)
        self.steps += 1


def _any_known(label: Tensor) -> Tensor:
    """Return for each case (B,) 1 if any of its voxels is known, else 0."""
    return (label != IGNORED).flatten(1).any(dim=1).float()


def _mean_of_all(value: Tensor) -> float:
    """Return the mean of a number over all processes, without its gradient."""
    return float(idist.all_reduce(value.detach())) / idist.get_world_size()


def _case(logits: Any, i: int) -> Any:
    """Return the logits of one case, as a batch of one."""
    if isinstance(logits, Tensor):
        return logits[i : i + 1]
    return [level[i : i + 1] for level in logits]
