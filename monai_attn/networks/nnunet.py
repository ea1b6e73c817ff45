"""Attention U-Net with the argument names of nnU-Net's plans, as an architecture for nnU-Net's own training.

nnU-Net (version 2) builds the network that its plans name under `network_class_name` from `arch_kwargs`,
with `input_channels`, `num_classes` and `deep_supervision` in addition. While
`network.decoder.deep_supervision` is true, it expects an output for every level except the coarsest, in
training and in validation; otherwise only the logits. A checkpoint holds all heads in both cases.
Source: `get_network_from_plans` and `nnUNetTrainer` of nnU-Net 2.8.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from monai_attn.networks.blocks import Axes, per_axis
from monai_attn.networks.unet import AttentionUNet

CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv2d: 2, nn.Conv3d: 3}  # spatial dimensions
NORMS: dict[type[nn.Module], tuple[str, int]] = {  # MONAI's name, spatial dimensions
    nn.InstanceNorm2d: ("instance", 2),
    nn.InstanceNorm3d: ("instance", 3),
    nn.BatchNorm2d: ("batch", 2),
    nn.BatchNorm3d: ("batch", 3),
}
DROPOUTS: dict[type[nn.Module], str] = {
    nn.Dropout: "dropout"
}  # of single voxels, as everywhere here
ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leakyrelu",
    nn.ELU: "elu",
    nn.PReLU: "prelu",
    nn.GELU: "gelu",
}
GATES = ("soft", None)  # a hard gate draws, which nnU-Net's loss does not know
EACH = 2  # convolutions of a level


class NnUNetAttentionUNet(AttentionUNet):
    """An `AttentionUNet` that nnU-Net can build from its plans and train.

    The arguments have the names and the meaning that they have in nnU-Net. What this network cannot be is
    refused. Parameters have the names and the first values of an `AttentionUNet` with all heads, so that such
    a network takes the trained weights.

    Args:
        input_channels: channels of the input.
        n_stages: number of levels.
        features_per_stage: features of each level, finest first; an integer stands for all.
        conv_op: `nn.Conv2d` or `nn.Conv3d`.
        kernel_sizes: an odd integer for all levels, or an entry for each; an entry is one integer or one for
            each axis.
        strides: an entry for each level, 1 along every axis for the first.
        n_conv_per_stage: convolutions of each level of the encoder; always 2.
        num_classes: channels of the logits.
        n_conv_per_stage_decoder: convolutions of each level of the decoder; always 2.
        conv_bias: whether convolutions have a bias. With a norm it has no effect, because the norm would
            subtract the bias again; without a norm it must be true.
        norm_op: instance or batch norm with the dimensions of `conv_op`; None leaves it out.
        norm_op_kwargs: its options.
        dropout_op: `nn.Dropout`, which follows each norm; None leaves it out.
        dropout_op_kwargs: its options, such as the probability `p`.
        nonlin: `nn.LeakyReLU`, `nn.ReLU`, `nn.ELU`, `nn.PReLU` or `nn.GELU`; None leaves it out.
        nonlin_kwargs: its options.
        deep_supervision: whether the logits of every level but the coarsest are returned, finest first.
        nonlin_first: whether the activation comes before the norm; always false.
        gate: "soft"; None builds the plain U-Net. Plans can set it under `arch_kwargs`.
        gated_levels: as for `AttentionUNet`.

    Raises:
        ValueError: if an argument is not as described here.

    Example:
        >>> two = {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2, "conv_bias": True}
        >>> net = NnUNetAttentionUNet(1, 3, [8, 16, 32], nn.Conv2d, 3, [1, 2, 2], num_classes=2,
        ...                           nonlin=nn.ReLU, deep_supervision=True, **two)
        >>> [tuple(logits.shape) for logits in net(torch.rand(1, 1, 32, 32))]
        [(1, 2, 32, 32), (1, 2, 16, 16)]
    """

    def __init__(
        self,
        input_channels: int,
        n_stages: int,
        features_per_stage: int | Sequence[int],
        conv_op: type[nn.Module],
        kernel_sizes: int | Sequence[Axes],
        strides: Sequence[Axes],
        n_conv_per_stage: int | Sequence[int],
        num_classes: int,
        n_conv_per_stage_decoder: int | Sequence[int],
        conv_bias: bool = False,
        norm_op: type[nn.Module] | None = None,
        norm_op_kwargs: Mapping[str, Any] | None = None,
        dropout_op: type[nn.Module] | None = None,
        dropout_op_kwargs: Mapping[str, Any] | None = None,
        nonlin: type[nn.Module] | None = None,
        nonlin_kwargs: Mapping[str, Any] | None = None,
        deep_supervision: bool = False,
        nonlin_first: bool = False,
        gate: str | None = "soft",
        gated_levels: Sequence[int] | None = None,
    ) -> None:
        dims = _known("conv_op", conv_op, CONVOLUTIONS)
        norm = _norm(norm_op, norm_op_kwargs, dims)
        if n_stages < 2:
            raise ValueError(f"n_stages (={n_stages}) must be 2 or more")
        if not isinstance(strides, Sequence) or len(strides) != n_stages:
            raise ValueError(f"strides (={strides}) must have {n_stages} entries, one per stage")
        if set(per_axis("strides", strides[0], dims)) != {1}:
            raise ValueError(f"strides (={strides}) must be 1 along every axis at the first stage")
        _two_convolutions("n_conv_per_stage", n_conv_per_stage, n_stages)
        _two_convolutions("n_conv_per_stage_decoder", n_conv_per_stage_decoder, n_stages - 1)
        if norm is None and not conv_bias:
            raise ValueError(f"conv_bias (={conv_bias}) must be true without a norm_op")
        if nonlin_first:
            raise ValueError(f"nonlin_first (={nonlin_first}) must be false: the norm comes first")
        if gate not in GATES:
            raise ValueError(f"gate (={gate!r}) must be 'soft' or None")
        super().__init__(
            dims,
            input_channels,
            num_classes,
            channels=_features(features_per_stage, n_stages),
            strides=strides[1:],
            kernel_size=kernel_sizes,
            gate=gate,
            gated_levels=gated_levels,
            norm=norm,
            act=_layer("nonlin", nonlin, nonlin_kwargs, ACTIVATIONS),
            dropout=_layer("dropout_op", dropout_op, dropout_op_kwargs, DROPOUTS),
            deep_supervision=n_stages - 2,
        )
        # nnU-Net switches it there; the stubs of torch know no plain attribute of a module
        self.decoder.deep_supervision = deep_supervision  # type: ignore[assignment]

    def predict(self, features: list[Tensor]) -> Tensor | list[Tensor]:
        """Return the logits of each level with deep supervision, finest first, else only of the finest."""
        if not self.decoder.deep_supervision:
            return self.heads[0](features[0])
        return [head(level) for head, level in zip(self.heads, features, strict=True)]


def _features(value: int | Sequence[int], stages: int) -> list[int]:
    features = [value] * stages if isinstance(value, int) else list(value)
    if len(features) != stages:
        raise ValueError(
            f"features_per_stage (={value}) must be one integer or {stages}, one per stage"
        )
    return features


def _two_convolutions(name: str, value: int | Sequence[int], stages: int) -> None:
    counts = [value] * stages if isinstance(value, int) else list(value)
    if counts != [EACH] * stages:
        raise ValueError(
            f"{name} (={value}) must be {EACH}, for one or for each of {stages} stages"
        )


def _known(name: str, op: Any, known: Mapping[type[nn.Module], Any]) -> Any:
    """Return the entry of a class."""
    if op not in known:
        names = ", ".join(kind.__name__ for kind in known)
        raise ValueError(f"{name} (={getattr(op, '__name__', op)}) must be one of {names}")
    return known[op]


def _layer(
    name: str,
    op: type[nn.Module] | None,
    options: Mapping[str, Any] | None,
    known: Mapping[type[nn.Module], str],
) -> tuple[str, dict[str, Any]] | None:
    """Return a class with its options as MONAI names it; None if there is none."""
    return None if op is None else (_known(name, op, known), dict(options or {}))


def _norm(
    op: type[nn.Module] | None, options: Mapping[str, Any] | None, dims: int
) -> tuple[str, dict[str, Any]] | None:
    """Return the norm as MONAI names it, if it has the dimensions of the convolutions."""
    known = {kind: name for kind, (name, its_dims) in NORMS.items() if its_dims == dims}
    return _layer("norm_op", op, options, known)
