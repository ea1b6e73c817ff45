"""Attention gates: where in the skip to look, decided by the coarser gating signal.

A gate takes the skip x of the contracting path and the gating signal g of the expanding path and
returns `(gated, attention)`: one coefficient alpha in 0..1 for each voxel, and skip * alpha.

Source: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018, arXiv:1804.03999.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.layers.factories import Conv, split_args
from torch import Tensor, nn

from monai_attn.networks.blocks import Axes, pad_to, per_axis, positive, resize

PASS_THROUGH_BIAS = 3.0  # sigmoid(3) = 0.953: a new gate lets nearly everything through


class SoftGate(nn.Module):
    """Additive soft attention: alpha = sigmoid(psi(relu(W_x(skip) + W_g(gating)))).

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

    Example:
        >>> gate = SoftGate(2, skip_channels=64, gating_channels=128, inter_channels=32)
        >>> gated, attention = gate(torch.rand(1, 64, 128, 128), torch.rand(1, 128, 64, 64))
        >>> attention.shape
        torch.Size([1, 1, 128, 128])
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

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """Gate the skip (B, skip_channels, *spatial) by the gating (B, gating_channels, *coarser).

        Returns:
            gated, of the skip's shape, and attention (B, 1, *spatial) in 0..1.
        """
        theta = self.W_x(pad_to(skip, self.step))  # (B, F_int, *grid)
        phi = resize(self.W_g(gating), like=theta)  # (B, F_int, *grid)
        attention = torch.sigmoid(self.psi(torch.relu(theta + phi)))  # (B, 1, *grid)
        if self.on_gating_grid:
            attention = resize(attention, like=skip)  # (B, 1, *spatial)
        return skip * attention, attention


GATES: dict[str, type[nn.Module]] = {"soft": SoftGate}


def build_gate(
    gate: str | tuple[str, dict[str, Any]],
    spatial_dims: int,
    skip_channels: int,
    gating_channels: int,
    ratio: tuple[int, ...],
) -> nn.Module:
    """The gate a network names: `"soft"`, or `("soft", {"grid": "skip", "inter_channels": 32})`.

    F_int is half of the skip's channels unless the options say otherwise.

    Raises:
        ValueError: if no gate has that name, or it does not take an option.
    """
    name, options = split_args(gate)
    if name not in GATES:
        raise ValueError(f"gate (={gate!r}) must be None or one of {sorted(GATES)}")
    settings = {"inter_channels": max(1, skip_channels // 2), "ratio": ratio, **options}
    try:
        return GATES[name](spatial_dims, skip_channels, gating_channels, **settings)
    except TypeError as error:
        raise ValueError(f"gate (={gate!r}) has an option that it does not take: {error}") from None
