"""Several networks answer as one: with the mean of their probabilities."""

import pytest
import torch
from torch import nn

from monai_attn import AttentionUNet
from monai_attn.networks import Ensemble, WithAttention, open_gates


class Says(nn.Module):
    """A network that always gives these logits, one for each class."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x):
        return self.logits[None, :, None, None].expand(len(x), -1, *x.shape[2:])


IMAGE = torch.rand(1, 1, 4, 4)


def unets(count=3, **options):
    nets = [
        AttentionUNet(2, 1, 2, channels=(4, 4, 8), strides=(2, 2), **options).eval()
        for _ in range(count)
    ]
    for seed, net in enumerate(nets):
        generator = torch.Generator().manual_seed(seed)
        for parameter in net.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return nets


def test_its_softmax_is_the_mean_of_the_members_softmax():
    members = unets()
    image = torch.rand(2, 1, 16, 12)
    expected = torch.stack([member(image).softmax(1) for member in members]).mean(0)
    torch.testing.assert_close(Ensemble(members)(image).softmax(1), expected)


def test_its_sigmoid_is_the_mean_of_the_members_sigmoid():
    members = unets()
    image = torch.rand(2, 1, 16, 12)
    expected = torch.stack([member(image).sigmoid() for member in members]).mean(0)
    torch.testing.assert_close(Ensemble(members, sigmoid=True)(image).sigmoid(), expected)


def test_each_member_has_its_own_temperature():
    found = Ensemble([Says(2.0, 0.0), Says(0.0, 3.0)], (2.0, 1.0))(IMAGE).softmax(1)[0, 0, 0, 0]
    p = torch.tensor([1.0, 0.0]).softmax(0)[0], torch.tensor([0.0, 3.0]).softmax(0)[0]
    torch.testing.assert_close(found, (p[0] + p[1]) / 2)


def test_two_of_three_outvote_one_that_is_not_surer():
    voters = [Says(1.0, 0.0), Says(1.0, 0.0), Says(0.0, 1.0)]
    assert Ensemble(voters)(IMAGE).argmax(1).eq(0).all()


@pytest.mark.parametrize("sigmoid", [False, True])
def test_certainty_stays_finite(sigmoid):
    logits = Ensemble([Says(500.0, -500.0), Says(400.0, -400.0)], sigmoid=sigmoid)(IMAGE)
    assert torch.isfinite(logits).all()
    assert (logits[:, 0] > logits[:, 1] + 300).all()


def test_one_that_is_not_a_number_is_seen():
    assert Ensemble([Says(1.0, 0.0), Says(float("nan"), 0.0)])(IMAGE).isnan().all()


@pytest.mark.parametrize("gate", ["soft", "hard"])
def test_attention_is_the_mean_of_the_members_maps(gate):
    members = unets(gate=gate)
    image = torch.rand(1, 1, 16, 12)
    logits, *maps = WithAttention(Ensemble(members))(image)
    torch.testing.assert_close(logits, Ensemble(members)(image))
    each = [member.forward_with_attention(image)[1] for member in members]
    assert len(maps) == len(each[0]) > 0
    for level, found in enumerate(maps):
        expected = torch.stack([one[level] for one in each]).mean(0)
        torch.testing.assert_close(found, expected)


def test_gates_are_those_that_all_members_have():
    members = unets(2)
    assert list(Ensemble(members).gated_levels) == list(members[0].gated_levels) != []
    assert Ensemble([members[0], *unets(1, gate=None)]).gated_levels == ()


def test_gates_are_opened_in_every_member():
    opened = open_gates(Ensemble(unets(2), (1.0, 2.0)), [1])
    assert opened.temperatures == (1.0, 2.0)
    _, maps = opened.forward_with_attention(torch.rand(1, 1, 16, 12))
    assert (maps[0] == 1).all()


def test_it_is_in_the_mode_of_its_members():
    assert not Ensemble(unets()).training


@pytest.mark.parametrize("temperatures", [(1.0,), (1.0, 0.0)])
def test_each_member_needs_a_temperature_above_0(temperatures):
    with pytest.raises(ValueError, match=r"temperatures \(=.*above 0, one for each of the 2"):
        Ensemble([Says(1.0, 0.0)] * 2, temperatures)
