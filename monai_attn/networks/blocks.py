"""Parts of the networks: resizing, a pair of convolutions, and checks of arguments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from torch import Tensor, nn

Axes = int | Sequence[int]
"""One number for all spatial axes, or one for each."""


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Resample `x` (B, C, *spatial) to the spatial size of `like`, bi- or trilinear with half-pixel centres.

    It is also called if the sizes already agree: then it is an exact identity, and a traced or exported
    network has no branch that would bind it to one input size.
    """
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    return F.interpolate(x, size=like.shape[2:], mode=mode, align_corners=False)


def pad_to(x: Tensor, size: list[int]) -> Tensor:
    """Repeat the last voxel of `x` (B, C, *spatial) along the axes that are shorter than `size`.

    A traced network keeps the sizes with which it was traced, so tracing needs no padding.
    """
    if torch.jit.is_tracing():
        return x
    pad: list[int] = []  # last axis first, as torch wants it
    for axis in range(x.dim() - 1, 1, -1):
        pad += [0, max(0, size[axis - 2] - x.shape[axis])]
    return F.pad(x, pad, mode="replicate") if sum(pad) > 0 else x


def per_axis(name: str, value: Axes, spatial_dims: int) -> tuple[int, ...]:
    """Return `value` as one positive integer for each spatial axis.

    Raises:
        ValueError: if a number is below 1 or their count is not `spatial_dims`.
    """
    axes = (value,) * spatial_dims if isinstance(value, int) else tuple(value)
    if len(axes) != spatial_dims:
        raise ValueError(
            f"{name} (={value}) must be one integer or {spatial_dims}, one for each axis"
        )
    for axis in axes:
        positive(name, axis)
    return axes


def positive(name: str, value: int) -> int:
    """Return `value` if it is an integer above 0; raise a ValueError with its name otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} (={value!r}) must be a positive integer")
    return value


class ConvBlock(nn.Sequential):
    """Two convolutions, each with norm, dropout and activation; the first takes the stride.

    With stride s and the odd kernels used here, n voxels become ceil(n / s).
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        stride: tuple[int, ...],
        kernel_size: tuple[int, ...],
        norm: str | tuple | None,
        act: str | tuple | None,
        dropout: float | str | tuple | None,
    ) -> None:
        def unit(channels: int, strides: tuple[int, ...] | int) -> Convolution:
            return Convolution(
                spatial_dims,
                channels,
                out_channels,
                strides=strides,
                kernel_size=kernel_size,
                norm=norm,
                act=act,
                dropout=dropout,
                bias=norm is None,  # a norm subtracts the bias again
            )

        super().__init__(unit(in_channels, stride), unit(out_channels, 1))
