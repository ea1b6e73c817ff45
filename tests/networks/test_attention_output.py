import pytest
import torch

from monai_attn import AttentionUNet
from monai_attn.networks.attention_output import WithAttention


@pytest.mark.parametrize("gate", ["soft", None])
def test_logits_come_first_and_then_each_map(gate):
    net = AttentionUNet(2, 1, 2, channels=(4, 4, 8), strides=(2, 2), gate=gate).eval()
    image = torch.rand(1, 1, 16, 12)
    logits, maps = net.forward_with_attention(image)
    found = WithAttention(net)(image)
    assert len(found) == (2 if gate else 1)
    assert all(torch.equal(a, b) for a, b in zip(found, [logits, *maps], strict=True))


def test_it_is_in_the_mode_of_its_network():
    net = AttentionUNet(2, 1, 2, channels=(4, 8), strides=(2,))
    assert WithAttention(net).training
    assert not WithAttention(net.eval()).training
