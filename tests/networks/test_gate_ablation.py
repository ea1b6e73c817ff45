"""A network whose gates are held open is the same network but for them."""

import pytest
import torch

from monai_attn import AttentionUNet
from monai_attn.inference.backends.network_digest import digest_network
from monai_attn.networks.gate_ablation import OpenGate, open_gates

IMAGE = torch.rand((1, 1, 24, 20), generator=torch.Generator().manual_seed(0))


def network(**options):
    return AttentionUNet(2, 1, 2, channels=(8, 8, 16, 16), strides=(2, 2, 2), **options).eval()


def test_an_open_gate_leaves_the_skip_unchanged():
    skip = torch.rand(2, 4, 6, 5, 3)
    gated, attention = OpenGate()(skip, torch.rand(2, 8, 3, 3, 2))
    assert gated is skip
    assert torch.equal(attention, torch.ones(2, 1, 6, 5, 3))


@pytest.mark.parametrize("levels", [[1], [2], [1, 2]])
def test_the_levels_that_are_named_are_open_and_no_others(levels):
    net = network()
    before, maps = net.forward_with_attention(IMAGE)
    logits, opened = open_gates(net, levels).forward_with_attention(IMAGE)
    assert [bool((alpha == 1).all()) for alpha in opened] == [level in levels for level in (1, 2)]
    assert not torch.equal(logits, before)
    assert torch.equal(net(IMAGE), before), "the network itself stays as it is"
    assert not any(bool((alpha == 1).all()) for alpha in maps)


def test_an_open_network_equals_one_without_gates_of_the_same_weights():
    net, plain = network(), network(gate=None)
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if ".gate." not in k})
    torch.testing.assert_close(open_gates(net, [1, 2])(IMAGE), plain(IMAGE))


def test_what_is_compiled_is_kept_apart():
    net = network()
    prints = [digest_network(open_gates(net, levels)) for levels in ([], [1], [2], [1, 2])]
    assert len({*prints}) == 4
    assert prints[0] == digest_network(net)


@pytest.mark.parametrize(("gate", "levels"), [("soft", [0]), ("soft", [1, 9]), (None, [1])])
def test_a_level_without_a_gate_is_refused(gate, levels):
    with pytest.raises(ValueError, match=r"levels \(=\[.*\]\) must be among those with a gate, \["):
        open_gates(network(gate=gate), levels)
