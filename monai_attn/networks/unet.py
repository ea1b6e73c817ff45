"""Attention U-Net: an encoder, a decoder that sees its skips through gates, and a head.

Source: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018, arXiv:1804.03999.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, List, Tuple, Union  # noqa: UP035  TorchScript reads these, not the new forms

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

from monai_attn.networks.blocks import Axes, ConvBlock, per_axis, positive, resize
from monai_attn.networks.gates import Draw, HardGate, SampledOutput, build_gate

DECODER = re.compile(r"decoder\.(?P<place>\d+)\.(?P<gate>gate\.)?")  # a tensor of a decoder


class Decoder(nn.Module):
    """One level of the expanding path: bring the gating up, gate the skip, join them, convolve."""

    def __init__(
        self,
        spatial_dims: int,
        gating_channels: int,
        skip_channels: int,
        *,
        gate: nn.Module | None,
        kernel_size: tuple[int, ...],
        **layers: Any,
    ) -> None:
        super().__init__()
        bias = layers["norm"] is None
        self.up = Convolution(
            spatial_dims, gating_channels, skip_channels, kernel_size=1, bias=bias, **layers
        )
        self.gate = gate
        self.merge = ConvBlock(
            spatial_dims,
            2 * skip_channels,
            skip_channels,
            stride=(1,) * spatial_dims,
            kernel_size=kernel_size,
            **layers,
        )

    def forward(self, gating: Tensor, skip: Tensor) -> Tuple[Tensor, List[Tensor]]:  # noqa: UP006
        """Return the features (B, skip_channels, *skip spatial), and the attention map, if any, in a list."""
        maps: List[Tensor] = []  # noqa: UP006
        up = resize(self.up(gating), like=skip)  # the 1x1 first: it is cheaper on the coarse grid
        if self.gate is not None:
            skip, attention = self.gate(skip, gating)
            maps.append(attention)
        return self.merge(torch.cat([skip, up], dim=1)), maps

    def sample(self, gating: Tensor, skip: Tensor) -> tuple[Tensor, list[Draw]]:
        """Return the features as `forward` does, and the draw of a hard gate, if there is one, in a list."""
        if not isinstance(self.gate, HardGate):
            return self(gating, skip)[0], []
        up = resize(self.up(gating), like=skip)
        skip, _, draw = self.gate.sample(skip, gating)
        return self.merge(torch.cat([skip, up], dim=1)), [draw]


class AttentionUNet(nn.Module):
    """U-Net whose skips pass attention gates; 2D and 3D, any spatial size.

    Level 0 is the finest. `channels[i]` are the features of level i and `strides[i]` lead from level i
    to i + 1. The decoder of level i is gated by the features of level i + 1.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the input, 1 for CT.
        out_channels: channels of the logits, background included.
        channels: features of each level, finest first.
        strides: downsampling from each level to the next; each one integer or one for each axis.
        kernel_size: one odd integer for all, or one entry for each level; an entry is one integer or
            one for each axis.
        gate: name of the gate or `(name, {options})`; None builds the plain U-Net by the same code.
        gated_levels: skips that are gated; all but the finest by default, as in the paper (a network
            of two levels has one skip and gates that).
        norm: normalisation of every convolution unit, as MONAI names it; None leaves it out.
        act: activation of every convolution unit, as MONAI names it; None leaves it out.
        dropout: dropout of every convolution unit: a probability, or as MONAI names it. Gates hold
            plain convolutions by their formula and have none.
        deep_supervision: number of coarser levels that get a head of their own in training.

    Raises:
        ValueError: if an argument is out of range or a length does not fit.

    Example:
        >>> net = AttentionUNet(3, in_channels=1, out_channels=2).eval()
        >>> logits, maps = net.forward_with_attention(torch.rand(1, 1, 64, 64, 48))
        >>> logits.shape, [tuple(m.shape[2:]) for m in maps]
        (torch.Size([1, 2, 64, 64, 48]), [(32, 32, 24), (16, 16, 12), (8, 8, 6)])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        strides: Sequence[Axes] = (2, 2, 2, 2),
        kernel_size: int | Sequence[Axes] = 3,
        gate: str | tuple[str, dict[str, Any]] | None = "soft",
        gated_levels: Sequence[int] | None = None,
        norm: str | tuple | None = "batch",
        act: str | tuple | None = "relu",
        dropout: float | str | tuple | None = 0.0,
        deep_supervision: int = 0,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims (={spatial_dims}) must be 2 or 3")
        positive("in_channels", in_channels)
        positive("out_channels", out_channels)
        levels = len(channels)
        if levels < 2:
            raise ValueError(f"channels (={channels}) must name at least two levels")
        for count in channels:
            positive("channels", count)
        if len(strides) != levels - 1:
            raise ValueError(
                f"strides (={strides}) must have {levels - 1} entries, one between each two of the "
                f"{levels} channels"
            )
        steps = [per_axis("strides", stride, spatial_dims) for stride in strides]
        kernels = _kernels(kernel_size, levels, spatial_dims)
        gated = _gated_levels(gate, gated_levels, levels)
        self.gated_levels = sorted(gated)  # levels of the maps, in the order of the maps
        if isinstance(dropout, (int, float)) and not 0 <= dropout < 1:
            raise ValueError(f"dropout (={dropout}) must be at least 0 and below 1")
        if deep_supervision not in range(levels - 1):
            raise ValueError(
                f"deep_supervision (={deep_supervision}) must be 0 to {levels - 2} with {levels} levels"
            )

        layers: dict[str, Any] = {"norm": norm, "act": act, "dropout": dropout or None}
        ones = (1,) * spatial_dims
        self.encoder = nn.ModuleList(
            ConvBlock(spatial_dims, before, after, stride=step, kernel_size=kernel, **layers)
            for before, after, step, kernel in zip(
                [in_channels, *channels], channels, [ones, *steps], kernels, strict=False
            )
        )
        self.decoder = nn.ModuleList(  # coarsest first, the order in which they run
            Decoder(
                spatial_dims,
                channels[level + 1],
                channels[level],
                gate=build_gate(
                    gate, spatial_dims, channels[level], channels[level + 1], steps[level]
                )
                if gate is not None and level in gated
                else None,
                kernel_size=kernels[level],
                **layers,
            )
            for level in reversed(range(levels - 1))
        )
        conv = Conv[Conv.CONV, spatial_dims]
        self.heads = nn.ModuleList(
            conv(channels[level], out_channels, 1) for level in range(1 + deep_supervision)
        )

    def forward(self, x: Tensor) -> Union[Tensor, List[Tensor]]:  # noqa: UP006, UP007
        """Return the logits (B, out_channels, *spatial) of x (B, in_channels, *spatial).

        In train mode with deep supervision it returns a list of logits, finest first, each at the
        resolution of its level, as `monai.losses.DeepSupervisionLoss` expects. In train mode with hard
        gates it returns the `SampledOutput` that `monai_attn.training.HardAttentionLoss` expects.
        """
        if not torch.jit.is_scripting() and self.training:  # an exported network never draws
            sampled: Any = self.forward_with_draws(x)
            return sampled if sampled.draws else sampled.logits
        features, _ = self.decode(self.encode(x))
        return self.predict(features)

    def forward_with_attention(self, x: Tensor) -> tuple[Tensor | list[Tensor], list[Tensor]]:
        """Return the logits as `forward` does, and the maps (B, 1, *skip spatial), finest first."""
        features, maps = self.decode(self.encode(x))
        return self.predict(features), maps

    def forward_with_draws(self, x: Tensor) -> SampledOutput:
        """Return the logits as `forward` does, and the draws of the hard gates."""
        skips = self.encode(x)
        x = skips[-1]
        features: list[Tensor] = []
        draws: list[Draw] = []
        for level, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            x, draw = level.sample(x, skip)  # type: ignore[operator]  # a Decoder
            features.insert(0, x)
            draws += draw
        return SampledOutput(self.predict(features), tuple(draws))

    def encode(self, x: Tensor) -> List[Tensor]:  # noqa: UP006
        """Return the features of each level, finest first."""
        skips: List[Tensor] = []  # noqa: UP006
        for level in self.encoder:
            x = level(x)  # (B, channels[level], *spatial / strides so far)
            skips.append(x)
        return skips

    def decode(self, skips: List[Tensor]) -> Tuple[List[Tensor], List[Tensor]]:  # noqa: UP006
        """Return the features of the expanding path and the attention maps, both finest first."""
        x = skips[-1]
        features: List[Tensor] = []  # noqa: UP006
        maps: List[Tensor] = []  # noqa: UP006
        for i, level in enumerate(self.decoder):
            x, attention = level(x, skips[-2 - i])  # (B, channels[level], *skip spatial)
            features.insert(0, x)
            maps = attention + maps
        return features, maps

    def predict(self, features: List[Tensor]) -> Union[Tensor, List[Tensor]]:  # noqa: UP006, UP007
        """Return the logits of each level with a head in training, and only of the finest in eval."""
        logits: List[Tensor] = []  # noqa: UP006
        for i, head in enumerate(self.heads):
            if self.training or i == 0:
                logits.append(head(features[i]))  # (B, out_channels, *level spatial)
        if len(logits) == 1:
            return logits[0]
        return logits


def gated_levels_of(names: Iterable[str]) -> tuple[int, set[int]]:
    """Return the number of skips of an `AttentionUNet` and its gated levels, by its tensors' names.

    Args:
        names: the names in its state dict; names of other networks' tensors are skipped.

    Example:
        >>> gated_levels_of(AttentionUNet(2, in_channels=1, out_channels=2).state_dict())
        (4, {1, 2, 3})
    """
    found = [match for name in names if (match := DECODER.match(name))]
    skips = len({match["place"] for match in found})
    # the decoder of the finest level comes last
    return skips, {skips - 1 - int(match["place"]) for match in found if match["gate"]}


def _kernels(
    kernel_size: int | Sequence[Axes], levels: int, spatial_dims: int
) -> list[tuple[int, ...]]:
    """Return an odd kernel for each level; an even one would shift the features by half a voxel."""
    entries = [kernel_size] * levels if isinstance(kernel_size, int) else list(kernel_size)
    if len(entries) != levels:
        raise ValueError(
            f"kernel_size (={kernel_size}) must be one integer or {levels} entries, one for each level"
        )
    kernels = [per_axis("kernel_size", entry, spatial_dims) for entry in entries]
    if any(size % 2 == 0 for kernel in kernels for size in kernel):
        raise ValueError(f"kernel_size (={kernel_size}) must be odd along every axis")
    return kernels


def _gated_levels(gate: object, gated_levels: Sequence[int] | None, levels: int) -> set[int]:
    """Return the levels whose skips are gated; check that these skips exist."""
    skips = range(levels - 1)
    if gate is None:
        if gated_levels:
            raise ValueError(f"gated_levels (={gated_levels}) need a gate; gate is None")
        return set()
    if gated_levels is None:
        return set(skips[1:] or skips)
    if not set(gated_levels) <= set(skips):
        raise ValueError(f"gated_levels (={gated_levels}) must lie in 0..{levels - 2}")
    return set(gated_levels)
