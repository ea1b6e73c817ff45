"""nnU-Net's arguments: each changes the network as promised, and what it cannot be is refused."""

import pytest
import torch
from torch import nn

from monai_attn.networks import AttentionUNet, NnUNetAttentionUNet, SoftGate
from monai_attn.networks.blocks import ConvBlock

PLANNED = {
    "n_stages": 3,
    "features_per_stage": [4, 6, 8],
    "conv_op": nn.Conv3d,
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "n_conv_per_stage": [2, 2, 2],
    "n_conv_per_stage_decoder": [2, 2],
    "conv_bias": True,
    "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"inplace": True},
}
PLAIN = {"norm_op": None, "norm_op_kwargs": None}


def build(**changes):
    """Build the network as nnU-Net does, with these arguments in the plans."""
    torch.manual_seed(0)
    given = {"input_channels": 1, "num_classes": 3, "deep_supervision": True}
    return NnUNetAttentionUNet(**{**given, **PLANNED, **changes})


def layers(net, kind):
    return [module for module in net.modules() if isinstance(module, kind)]


def first(net, kind):
    return layers(net, kind)[0]


CHANGES = {
    "input_channels": ({"input_channels": 2}, lambda net: net.encoder[0][0].conv.in_channels == 2),
    "n_stages": (
        {
            "n_stages": 2,
            "features_per_stage": [4, 6],
            "kernel_sizes": 3,
            "strides": [1, 2],
            "n_conv_per_stage": 2,
            "n_conv_per_stage_decoder": 2,
        },
        lambda net: len(net.encoder) == 2,
    ),
    "features_per_stage": (
        {"features_per_stage": [5, 7, 9]},
        lambda net: [level[0].conv.out_channels for level in net.encoder] == [5, 7, 9],
    ),
    "one number of features": (
        {"features_per_stage": 5},
        lambda net: [level[0].conv.out_channels for level in net.encoder] == [5, 5, 5],
    ),
    "conv_op": (
        {
            "conv_op": nn.Conv2d,
            "kernel_sizes": [[1, 3], [3, 3], [3, 3]],
            "strides": [[1, 1], [1, 2], [2, 2]],
            "norm_op": nn.InstanceNorm2d,
        },
        lambda net: layers(net, nn.Conv2d) and not layers(net, nn.Conv3d),
    ),
    "kernel_sizes": (
        {"kernel_sizes": [[5, 3, 1], 3, 3]},
        lambda net: net.encoder[0][0].conv.kernel_size == (5, 3, 1),
    ),
    "strides": (
        {"strides": [1, [2, 2, 1], 2]},
        lambda net: net.encoder[1][0].conv.stride == (2, 2, 1),
    ),
    "num_classes": ({"num_classes": 5}, lambda net: net.heads[0].out_channels == 5),
    "conv_bias": (
        {"conv_bias": True, **PLAIN},
        lambda net: net.encoder[0][0].conv.bias is not None,
    ),
    "conv_bias under a norm": (
        {"conv_bias": True},
        lambda net: net.encoder[0][0].conv.bias is None,
    ),
    "norm_op": (
        {"norm_op": nn.BatchNorm3d, "norm_op_kwargs": None},
        lambda net: layers(net, nn.BatchNorm3d) and not layers(net, nn.InstanceNorm3d),
    ),
    "no norm_op": (PLAIN, lambda net: not layers(net, nn.modules.batchnorm._NormBase)),
    "norm_op_kwargs": (
        {"norm_op_kwargs": {"eps": 0.5, "affine": False}},
        lambda net: all(n.eps == 0.5 and n.weight is None for n in layers(net, nn.InstanceNorm3d)),
    ),
    "dropout_op": ({"dropout_op": nn.Dropout}, lambda net: layers(net, nn.Dropout)),
    "dropout_op_kwargs": (
        {"dropout_op": nn.Dropout, "dropout_op_kwargs": {"p": 0.3}},
        lambda net: first(net, nn.Dropout).p == 0.3,
    ),
    "nonlin": (
        {"nonlin": nn.ELU},
        lambda net: layers(net, nn.ELU) and not layers(net, nn.LeakyReLU),
    ),
    "no nonlin": ({"nonlin": None}, lambda net: not layers(net, nn.LeakyReLU)),
    "nonlin_kwargs": (
        {"nonlin_kwargs": {"negative_slope": 0.2}},
        lambda net: first(net, nn.LeakyReLU).negative_slope == 0.2,
    ),
    "deep_supervision": ({"deep_supervision": False}, lambda net: torch.is_tensor(net(image()))),
    "gate": ({"gate": None}, lambda net: not layers(net, SoftGate)),
    "gated_levels": ({"gated_levels": [0, 1]}, lambda net: len(layers(net, SoftGate)) == 2),
}


@pytest.mark.parametrize(("changes", "promised"), CHANGES.values(), ids=CHANGES)
def test_each_argument_changes_the_network(changes, promised):
    assert promised(build(**changes))


def test_the_usual_plan():
    net = build()
    assert len(layers(net, SoftGate)) == 1
    assert all(len(block) == 2 for block in layers(net, ConvBlock))  # two convolutions
    assert first(net, nn.LeakyReLU).inplace
    assert layers(net, nn.InstanceNorm3d)[0].affine


REFUSED = {
    "n_stages": {"n_stages": 1},
    "features_per_stage": {"features_per_stage": [4, 6]},
    "conv_op": {"conv_op": nn.Conv1d},
    "kernel_size": {"kernel_sizes": 2},
    "strides": {"strides": [[1, 1, 1], [1, 2, 2]]},
    "strides ": {"strides": [2, 2, 2]},
    " strides": {"strides": 2},
    "n_conv_per_stage": {"n_conv_per_stage": [2, 3, 2]},
    "n_conv_per_stage_decoder": {"n_conv_per_stage_decoder": 1},
    "conv_bias": {"conv_bias": False, **PLAIN},
    "norm_op": {"norm_op": nn.GroupNorm},
    " norm_op": {"norm_op": nn.InstanceNorm2d},
    "dropout_op": {"dropout_op": nn.Dropout3d},
    "nonlin": {"nonlin": nn.Tanhshrink},
    "nonlin_first": {"nonlin_first": True},
    "gate": {"gate": "hard"},
}


@pytest.mark.parametrize(("name", "changes"), REFUSED.items(), ids=REFUSED)
def test_what_the_network_cannot_be_is_refused(name, changes):
    with pytest.raises(ValueError, match=name.strip()) as refused:
        build(**changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("training", [True, False])
def test_deep_supervision_is_switched_at_the_decoder(training):
    """nnU-Net validates its epochs in eval mode with all outputs, and predicts with one."""
    net = build(deep_supervision=False).train(training)
    assert net(image()).shape == (2, 3, 4, 16, 16)
    net.decoder.deep_supervision = True
    assert [tuple(out.shape[2:]) for out in net(image())] == [(4, 16, 16), (4, 8, 8)]


def test_a_checkpoint_of_a_training_fits_the_network_for_prediction():
    trained, other = build(), build(deep_supervision=False, num_classes=3)
    nn.init.ones_(trained.heads[0].weight)
    other.load_state_dict(trained.state_dict())
    torch.testing.assert_close(other.eval()(image()), trained.eval()(image())[0])


def test_its_weights_are_those_of_an_attention_unet():
    trained = build().eval()
    plain = AttentionUNet(
        3,
        1,
        3,
        channels=(4, 6, 8),
        strides=([1, 2, 2], 2),
        kernel_size=([1, 3, 3], 3, 3),
        norm=("instance", {"affine": True}),
        act=("leakyrelu", {}),
        deep_supervision=1,
    ).eval()
    plain.load_state_dict(trained.state_dict())
    torch.testing.assert_close(plain(image()), trained(image())[0])
    _, maps = trained.forward_with_attention(image())
    assert [tuple(found.shape[1:]) for found in maps] == [(1, 4, 8, 8)]


def test_every_gate_learns():
    net = build()
    sum(out.square().mean() for out in net(image())).backward()
    (gate,) = layers(net, SoftGate)
    assert all(parameter.grad.abs().max() > 0 for parameter in gate.parameters())


def image():
    return torch.rand(2, 1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
