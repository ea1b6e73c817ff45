"""Attention gates, which weight the voxels of a skip with the help of the coarser gating signal.

A gate takes the skip x of the contracting path and the gating signal g of the expanding path and
returns `(gated, attention)`: one coefficient alpha in 0..1 for each voxel, and skip * alpha.

Source: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018, arXiv:1804.03999.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv, split_args
from torch import Tensor, nn
from torch.distributions import Bernoulli
from torch.distributions.utils import clamp_probs

from monai_attn.networks.blocks import Axes, pad_to, per_axis, positive, resize

PASS_THROUGH_BIAS = 3.0  # sigmoid(3) = 0.953: a new gate lets nearly everything through
ESTIMATORS = ("straight_through", "reinforce")


class AdditiveGate(nn.Module):
    """The common base of soft and hard gates: attention logits q = psi(relu(W_x(skip) + W_g(gating))).

    On `grid="gating"` W_x is strided down to the gating grid, alpha is computed there and resampled to
    the skip (grid attention, as in the paper; 8 times fewer voxels in 3D). On `grid="skip"` W_g is
    resampled up to the skip and alpha is computed at full resolution; W_g goes first, because a 1x1
    convolution and a linear resampling commute and the coarse grid is the cheaper one.

    Args:
        spatial_dims: 2 or 3.
        skip_channels: channels of the skip.
        gating_channels: channels of the gating signal.
        inter_channels: channels F_int of the common space in which the two are added.
        grid: "gating" or "skip", the grid on which alpha is computed.
        ratio: skip voxels to one gating voxel along each axis; used on the gating grid only.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        spatial_dims: int,
        skip_channels: int,
        gating_channels: int,
        inter_channels: int,
        *,
        grid: str = "gating",
        ratio: Axes = 2,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims (={spatial_dims}) must be 2 or 3")
        if grid not in ("gating", "skip"):
            raise ValueError(f"grid (={grid!r}) must be 'gating' or 'skip'")
        skip_channels = positive("skip_channels", skip_channels)
        gating_channels = positive("gating_channels", gating_channels)
        inter_channels = positive("inter_channels", inter_channels)
        ratios = per_axis("ratio", ratio, spatial_dims)

        conv = Conv[Conv.CONV, spatial_dims]
        self.on_gating_grid = grid == "gating"
        self.step = list(ratios) if self.on_gating_grid else [1] * spatial_dims
        self.W_x = conv(skip_channels, inter_channels, self.step, stride=self.step, bias=False)
        self.W_g = conv(gating_channels, inter_channels, 1)
        self.psi = conv(inter_channels, 1, 1)
        nn.init.constant_(self.psi.bias, PASS_THROUGH_BIAS)

    def logits(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Return the attention logits (B, 1, *grid) of the skip and the gating."""
        theta = self.W_x(pad_to(skip, self.step))  # (B, F_int, *grid)
        phi = resize(self.W_g(gating), like=theta)  # (B, F_int, *grid)
        return self.psi(torch.relu(theta + phi))


class SoftGate(AdditiveGate):
    """Additive soft attention: alpha = sigmoid(psi(relu(W_x(skip) + W_g(gating)))).

    The arguments are those of `AdditiveGate`.

    Example:
        >>> gate = SoftGate(2, skip_channels=64, gating_channels=128, inter_channels=32)
        >>> gated, attention = gate(torch.rand(1, 64, 128, 128), torch.rand(1, 128, 64, 64))
        >>> attention.shape
        torch.Size([1, 1, 128, 128])
    """

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """Gate the skip (B, skip_channels, *spatial) by the gating (B, gating_channels, *coarser).

        Returns:
            The gated skip, with the shape of the skip, and the attention (B, 1, *spatial) in 0..1.
        """
        attention = torch.sigmoid(self.logits(skip, gating))  # (B, 1, *grid)
        if self.on_gating_grid:
            attention = resize(attention, like=skip)  # (B, 1, *spatial)
        return skip * attention, attention


class Draw(NamedTuple):
    """The sample of a hard gate in training: values for each case (B,) of a batch.

    Attributes:
        log_probability: natural logarithm of the joint probability of the choices.
        selected: mean probability of being selected.
        entropy: mean entropy of the choices, in nats.
    """

    log_probability: Tensor
    selected: Tensor
    entropy: Tensor


class SampledOutput(NamedTuple):
    """The output of a network with hard gates in training.

    Attributes:
        logits: (B, out_channels, *spatial), or with deep supervision a list of them, finest first.
        draws: what the hard gates drew, in the order of `hard_gates`.
    """

    logits: Tensor | list[Tensor]
    draws: tuple[Draw, ...]


class HardGate(AdditiveGate):
    """Additive hard attention: each place is selected or not, alpha is 0 or 1.

    With p = sigmoid(psi(relu(W_x(skip) + W_g(gating)))), training draws alpha from Bernoulli(p) at each
    place of the grid; eval selects the places with p > 1/2, the same in every run. On the gating grid a
    place decides for the skip voxels that it covers; if the size of a skip is not a multiple of the ratio,
    each voxel follows the nearest place. There are two ways to train a choice, which has no gradient itself:

    - "straight_through": the forward pass uses the draw; the backward pass uses the gradient of a sample
      of the binary concrete distribution with `temperature`, made from the same random numbers. A low
      temperature makes the gradient more exact, but noisier (Maddison et al. 2017, arXiv:1611.00712; Jang
      et al. 2017, arXiv:1611.01144).
    - "reinforce": no gradient passes through the draw. `sample` returns its log-probability, with which
      `monai_attn.training.hard_attention_loss.HardAttentionLoss` makes good draws more likely (Williams 1992,
      doi:10.1007/BF00992696; for attention Xu et al. 2015, arXiv:1502.03044).

    Args:
        spatial_dims, skip_channels, gating_channels, inter_channels, grid, ratio: as for `AdditiveGate`.
        estimator: "straight_through" or "reinforce".
        temperature: temperature of the binary concrete distribution, above 0.
        budget: fraction of places that the loss aims to select; no limit by default.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> gate = HardGate(2, skip_channels=64, gating_channels=128, inter_channels=32).eval()
        >>> gated, attention = gate(torch.rand(1, 64, 128, 128), torch.rand(1, 128, 64, 64))
        >>> attention.unique()
        tensor([1.])
    """

    def __init__(
        self,
        spatial_dims: int,
        skip_channels: int,
        gating_channels: int,
        inter_channels: int,
        *,
        grid: str = "gating",
        ratio: Axes = 2,
        estimator: str = "straight_through",
        temperature: float = 1.0,
        budget: float | None = None,
    ) -> None:
        super().__init__(
            spatial_dims, skip_channels, gating_channels, inter_channels, grid=grid, ratio=ratio
        )
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator (={estimator!r}) must be one of {ESTIMATORS}")
        if not temperature > 0:
            raise ValueError(f"temperature (={temperature}) must be above 0")
        if budget is not None and not 0 < budget < 1:
            raise ValueError(f"budget (={budget}) must be above 0 and below 1")
        self.estimator = estimator
        self.temperature = temperature
        self.budget = budget

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """Gate the skip (B, skip_channels, *spatial) by the gating (B, gating_channels, *coarser).

        Returns:
            The gated skip, with the shape of the skip, and the attention (B, 1, *spatial), 0 or 1.
        """
        if not torch.jit.is_scripting() and self.training:  # an exported network always selects
            gated, attention, _ = self.sample(skip, gating)
            return gated, attention
        return self.select(skip, self.logits(skip, gating) > 0)

    def sample(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor, Draw]:
        """Gate the skip by choices drawn at random, as in training.

        Returns:
            The gated skip and the attention, as `forward` returns them, and the draw.
        """
        choices, draw = self.draw(self.logits(skip, gating))
        return *self.select(skip, choices), draw

    def select(self, skip: Tensor, choices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the skip where its place (B, 1, *grid) was chosen, and alpha (B, 1, *spatial)."""
        attention = choices.to(skip.dtype)
        if self.on_gating_grid:
            attention = F.interpolate(attention, size=skip.shape[2:], mode="nearest")
        return skip * attention, attention

    def draw(self, logits: Tensor) -> tuple[Tensor, Draw]:
        """Draw alpha (B, 1, *grid) for training; return it with its probability."""
        places = tuple(range(1, logits.dim()))
        logits = logits.float()
        drawn = logits + logistic_like(logits)  # above 0 with probability sigmoid(logits)
        attention = (drawn > 0).float()
        if self.estimator == "straight_through":
            concrete = torch.sigmoid(drawn / self.temperature)
            attention = attention + (concrete - concrete.detach())
        bernoulli = Bernoulli(logits=logits, validate_args=False)
        return attention, Draw(
            log_probability=bernoulli.log_prob(attention.detach()).sum(places),
            selected=bernoulli.probs.mean(places),
            entropy=bernoulli.entropy().mean(places),
        )


def logistic_like(logits: Tensor) -> Tensor:
    """Draw noise of the same shape from the standard logistic distribution."""
    uniform = clamp_probs(torch.rand_like(logits))
    return uniform.log() - torch.log1p(-uniform)


GATES: dict[str, type[AdditiveGate]] = {"soft": SoftGate, "hard": HardGate}


def hard_gates(network: nn.Module) -> list[HardGate]:
    """Return the hard gates in a network; those of an `AttentionUNet` come coarsest first, as they run."""
    return [part for part in network.modules() if isinstance(part, HardGate)]


def build_gate(
    gate: str | tuple[str, dict[str, Any]],
    spatial_dims: int,
    skip_channels: int,
    gating_channels: int,
    ratio: tuple[int, ...],
) -> nn.Module:
    """Build a gate by name, `"soft"`, or with options, `("hard", {"estimator": "reinforce"})`.

    F_int is half of the skip's channels unless the options set it.

    Raises:
        ValueError: if no gate has this name, or the gate does not accept an option.
    """
    name, options = split_args(gate)
    if name not in GATES:
        raise ValueError(f"gate (={gate!r}) must be None or one of {sorted(GATES)}")
    settings = {"inter_channels": max(1, skip_channels // 2), "ratio": ratio, **options}
    try:
        return GATES[name](spatial_dims, skip_channels, gating_channels, **settings)
    except TypeError as error:
        raise ValueError(f"gate (={gate!r}) has an option that it does not take: {error}") from None
