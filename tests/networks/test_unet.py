"""The network: one contract for all variants, and each constructor argument does what it promises."""

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceLoss
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from monai_attn import AttentionUNet, SoftGate
from monai_attn.networks.gates import SampledOutput, hard_gates
from monai_attn.networks.unet import gated_levels_of
from tests.networks.small_unets import (
    GATES,
    SMALL,
    build_unet,
    each_variant,
    layers_of,
    random_image,
)

# --- the contract of every variant


@each_variant
def test_eval_gives_one_logits_tensor_of_the_inputs_size(spatial_dims, gate, deep_supervision):
    x = random_image(spatial_dims)
    logits = build_unet(spatial_dims, gate, deep_supervision)(x)
    assert logits.shape == (2, 3, *x.shape[2:])
    assert logits.std(dim=(0, *range(2, logits.dim()))).min() > 0.1, (
        "the parities below compare something"
    )


@each_variant
def test_train_gives_what_deep_supervision_loss_takes(spatial_dims, gate, deep_supervision):
    net = build_unet(spatial_dims, gate, deep_supervision).train()
    x = random_image(spatial_dims)
    output = net(x)
    logits = output.logits if isinstance(output, SampledOutput) else output
    if deep_supervision:
        halves = [-(-n // 2) for n in x.shape[2:]]
        assert [level.shape[2:] for level in logits] == [x.shape[2:], torch.Size(halves)]
    target = torch.randint(0, 3, (2, 1, *x.shape[2:])).float()
    loss = DeepSupervisionLoss(DiceLoss(to_onehot_y=True, softmax=True))(logits, target)
    loss.backward()
    silent = [
        name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert silent == [], "gradients reach every parameter"


@pytest.mark.parametrize("deep_supervision", [0, 1])
@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_only_with_hard_gates_and_only_in_training_draws_are_returned(gate, deep_supervision):
    net, x = (
        build_unet(2, gate, deep_supervision, gated_levels=(0, 1) if gate else None),
        random_image(2),
    )
    assert isinstance(net(x), torch.Tensor)
    output = net.train()(x)
    hard = hard_gates(net)
    assert isinstance(output, SampledOutput) == bool(hard)
    if hard:
        logits = output.logits if deep_supervision else [output.logits]
        assert [len(level) for level in logits] == [2] * (1 + deep_supervision)
        assert [draw.selected.shape for draw in output.draws] == [(2,)] * 2
        assert output.draws[0].selected.grad_fn is not None, "the loss can train by it"


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_draws_are_those_of_the_logits_that_come_with_them(dropout):
    """A forward pass that returns draws runs as one that only returns logits and maps."""
    net, x = build_unet(2, "hard", gated_levels=(0, 1), dropout=dropout).train(), random_image(2)
    torch.manual_seed(3)
    output = net(x)
    torch.manual_seed(3)
    logits, _ = net.forward_with_attention(x)
    assert torch.equal(output.logits, logits)


def test_the_draws_have_the_order_of_the_gates():
    net = build_unet(2, "hard", gated_levels=(0, 1)).train()
    for gate, bias in zip(hard_gates(net), (-100.0, 100.0), strict=True):
        nn.init.constant_(gate.psi.bias, bias)
    closed, opened = net(random_image(2)).draws
    assert closed.selected.tolist() == [0, 0]
    assert opened.selected.tolist() == [1, 1]


# --- sizes


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
@pytest.mark.parametrize("size", [(97, 101), (97, 101, 65), (5, 1), (1, 2, 3)], ids=str)
def test_any_size(size, gate):
    net = AttentionUNet(len(size), 1, 2, channels=(2, 2, 4, 4, 4), gate=gate).eval()
    logits, maps = net.forward_with_attention(torch.rand(1, 1, *size))
    assert logits.shape == (1, 2, *size)
    coarser = [tuple(-(-n // 2**level) for n in size) for level in (1, 2, 3)]
    assert [tuple(m.shape[2:]) for m in maps] == ([] if gate is None else coarser)


# --- attention


def test_forward_with_attention_gives_the_same_logits_and_maps_finest_first():
    net, x = build_unet(3, "soft", gated_levels=(0, 1)), random_image(3)
    logits, maps = net.forward_with_attention(x)
    assert torch.equal(logits, net(x))
    assert [m.shape for m in maps] == [(2, 1, 17, 20, 14), (2, 1, 9, 10, 7)]
    assert all(m.min() > 0 and m.max() < 1 for m in maps)


def test_without_gates_there_are_no_maps():
    assert build_unet(2, None).forward_with_attention(random_image(2))[1] == []


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_gate_held_at_one_is_the_plain_network(spatial_dims):
    gated, plain = build_unet(spatial_dims, "soft"), build_unet(spatial_dims, None)
    plain.load_state_dict(
        {name: value for name, value in gated.state_dict().items() if ".gate." not in name}
    )
    x = random_image(spatial_dims)
    assert (gated(x) - plain(x)).abs().max() > 0.1
    for gate in layers_of(gated, SoftGate):
        nn.init.zeros_(gate.psi.weight)
        nn.init.constant_(gate.psi.bias, 100.0)
    torch.testing.assert_close(gated(x), plain(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("levels", "gated_levels", "expected"),
    [(4, None, [1, 2]), (4, (0, 2), [0, 2]), (4, (), []), (2, None, [0])],
)
def test_the_finest_skip_is_ungated_unless_asked_for_or_the_only_one(
    levels, gated_levels, expected
):
    net = build_unet(channels=(4,) * levels, strides=(2,) * (levels - 1), gated_levels=gated_levels)
    finest_first = list(reversed(net.decoder))
    assert [i for i, d in enumerate(finest_first) if d.gate is not None] == expected


# --- each argument changes the network as promised


@pytest.mark.parametrize(
    ("levels", "gated_levels"), [(2, (0,)), (4, (0, 2)), (4, ()), (13, (0, 11)), (4, (0, 1, 2))]
)
def test_the_gated_levels_are_known_by_the_names_of_the_tensors(levels, gated_levels):
    net = build_unet(channels=(2,) * levels, strides=(1,) * (levels - 1), gated_levels=gated_levels)
    assert gated_levels_of(net.state_dict()) == (levels - 1, set(net.gated_levels))
    others = {"heads.0.weight", "encoder.0.decoder.7.gate.psi.bias", "0.weight"}
    assert gated_levels_of(others) == (0, set())


UNITS = 3 * 2 + 2 * 3  # two in each encoder level; one up and two merging in each decoder level


@pytest.mark.parametrize(
    ("arguments", "kind", "count"),
    [
        ({"norm": "batch"}, nn.BatchNorm2d, UNITS),
        ({"norm": "instance"}, nn.InstanceNorm2d, UNITS),
        ({"norm": ("group", {"num_groups": 2})}, nn.GroupNorm, UNITS),
        ({"norm": None}, nn.BatchNorm2d, 0),
        ({"act": "relu"}, nn.ReLU, UNITS),
        ({"act": ("leakyrelu", {"negative_slope": 0.3})}, nn.LeakyReLU, UNITS),
        ({"act": None}, nn.ReLU, 0),
        ({"dropout": 0.25}, nn.Dropout, UNITS),
        ({"dropout": ("alphadropout", {"p": 0.1})}, nn.AlphaDropout, UNITS),
        ({"dropout": 0.0}, nn.Dropout, 0),
        ({"dropout": None}, nn.Dropout, 0),
    ],
    ids=str,
)
def test_norm_act_and_dropout_reach_every_unit(arguments, kind, count):
    assert len(layers_of(build_unet(**arguments), kind)) == count


def test_options_of_norm_act_and_dropout_arrive():
    net = build_unet(
        norm=("group", {"num_groups": 2}), act=("leakyrelu", {"negative_slope": 0.3}), dropout=0.25
    )
    assert {m.num_groups for m in layers_of(net, nn.GroupNorm)} == {2}
    assert {m.negative_slope for m in layers_of(net, nn.LeakyReLU)} == {0.3}
    assert {m.p for m in layers_of(net, nn.Dropout)} == {0.25}


def test_a_convolution_has_a_bias_only_where_no_norm_would_remove_it():
    units = list(layers_of(build_unet(norm=None), nn.Conv2d))
    assert all(m.bias is not None for m in units if m.stride == (1, 1))
    encoder = layers_of(build_unet(norm="batch").encoder, nn.Conv2d)
    assert all(m.bias is None for m in encoder)


def test_channels_are_the_features_of_each_level():
    net = build_unet(channels=(4, 10, 12))
    assert [block[1].conv.out_channels for block in net.encoder] == [4, 10, 12]
    assert [d.merge[1].conv.out_channels for d in net.decoder] == [10, 4]


def test_strides_are_per_level_and_per_axis():
    net = build_unet(3, strides=((1, 2, 2), 4), gated_levels=(0, 1))
    assert [block[0].conv.stride for block in net.encoder] == [(1, 1, 1), (1, 2, 2), (4, 4, 4)]
    assert [d.gate.W_x.stride for d in net.decoder] == [(4, 4, 4), (1, 2, 2)]
    assert net(random_image(3)).shape == (2, 3, 17, 20, 14)


@pytest.mark.parametrize(
    ("kernel_size", "expected"),
    [(5, [(5, 5, 5)] * 3), (((1, 3, 3), 3, 5), [(1, 3, 3), (3, 3, 3), (5, 5, 5)])],
    ids=str,
)
def test_kernels_are_per_level_and_per_axis(kernel_size, expected):
    net = build_unet(3, kernel_size=kernel_size)
    assert [block[1].conv.kernel_size for block in net.encoder] == expected
    assert [d.merge[0].conv.kernel_size for d in net.decoder] == expected[-2::-1]
    assert net(random_image(3)).shape == (2, 3, 17, 20, 14)


def test_gate_options_reach_the_gate():
    net = build_unet(gate=("soft", {"grid": "skip", "inter_channels": 3}))
    gates = layers_of(net, SoftGate)
    assert [(g.on_gating_grid, g.psi.in_channels) for g in gates] == [(False, 3)]


def test_deep_supervision_adds_heads_and_leaves_the_logits():
    plain, deep = build_unet(deep_supervision=0), build_unet(deep_supervision=1)
    assert (len(plain.heads), len(deep.heads)) == (1, 2)
    plain.load_state_dict(
        {name: value for name, value in deep.state_dict().items() if "heads.1" not in name}
    )
    assert torch.equal(plain(random_image(2)), deep(random_image(2)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 4}, r"spatial_dims \(=4\) must be 2 or 3"),
        ({"in_channels": 0}, r"in_channels \(=0\) must be a positive integer"),
        ({"out_channels": -1}, r"out_channels \(=-1\) must be a positive integer"),
        ({"channels": (4,), "strides": ()}, r"channels \(=\(4,\)\) must name at least two levels"),
        ({"channels": (4, 0, 8)}, r"channels \(=0\) must be a positive integer"),
        ({"strides": (2,)}, r"strides \(=\(2,\)\) must have 2 entries, one between each two"),
        ({"strides": (2, 0)}, r"strides \(=0\) must be a positive integer"),
        ({"strides": (2, (2, 2, 2))}, r"strides \(=\(2, 2, 2\)\) must be one integer or 2"),
        ({"kernel_size": 4}, r"kernel_size \(=4\) must be odd"),
        ({"kernel_size": (3, 3)}, r"kernel_size \(=\(3, 3\)\) must be one integer or 3 entries"),
        ({"kernel_size": -3}, r"kernel_size \(=-3\) must be a positive integer"),
        ({"gate": "loud"}, r"gate \(='loud'\) must be None or one of"),
        ({"gated_levels": (2,)}, r"gated_levels \(=\(2,\)\) must lie in 0..1"),
        ({"gate": None, "gated_levels": (1,)}, "need a gate; gate is None"),
        ({"dropout": 1.0}, r"dropout \(=1.0\) must be at least 0 and below 1"),
        ({"deep_supervision": 2}, r"deep_supervision \(=2\) must be 0 to 1 with 3 levels"),
        ({"deep_supervision": -1}, r"deep_supervision \(=-1\) must be 0 to 1"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(arguments, message):
    good = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **SMALL}
    with pytest.raises(ValueError, match=message):
        AttentionUNet(**{**good, **arguments})


# --- cost


def cost(spatial_dims, size, gate):
    """Parameters and multiply-adds of the default network."""
    net = AttentionUNet(spatial_dims, 1, 2, gate=gate).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(torch.zeros(1, 1, *[size] * spatial_dims))
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() // 2


@pytest.mark.parametrize(("spatial_dims", "size"), [(2, 256), (3, 96)])
def test_gates_cost_less_than_three_percent_of_the_multiply_adds(spatial_dims, size):
    (gated_parameters, gated), (plain_parameters, plain) = (
        cost(spatial_dims, size, gate) for gate in ("soft", None)
    )
    assert gated_parameters > plain_parameters
    assert plain < gated < 1.03 * plain
