"""The state of a network belongs to whoever asked for it."""

import copy

import pytest
import torch
from torch import nn

from monai_attn import AttentionUNet
from monai_attn.training.own_state import own_state

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


def network(spatial_dims):
    net = AttentionUNet(spatial_dims, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,))
    return own_state(net).to(memory_format=LAYOUTS[spatial_dims])


@pytest.mark.parametrize("spatial_dims", LAYOUTS)
def test_a_state_is_a_contiguous_copy(spatial_dims):
    net = network(spatial_dims)
    state, memory = net.state_dict(), dict(net.named_parameters())
    assert set(memory) <= set(state)
    assert all(value.is_contiguous() and not value.requires_grad for value in state.values())
    for name, parameter in memory.items():
        assert torch.equal(state[name], parameter)
        assert state[name].data_ptr() != parameter.data_ptr()


@pytest.mark.parametrize("spatial_dims", LAYOUTS)
def test_weights_of_one_channel_can_be_loaded_back_after_a_reshape(spatial_dims):
    """As MonaiAlgo does, which torch refuses for a channels-last weight in the network's own memory."""
    net = network(spatial_dims)
    before = net.state_dict()
    state = {name: value.reshape(value.shape) for name, value in net.state_dict().items()}
    net.load_state_dict(state)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    "wrap",
    [lambda net: net, copy.deepcopy, nn.Sequential],
    ids=["itself", "a copy", "a part of another"],
)
def test_a_part_of_another_module_and_a_copy_give_copies_too(wrap):
    wrapped = wrap(own_state(nn.Conv2d(1, 1, 1)))
    addresses = {parameter.data_ptr() for parameter in wrapped.parameters()}
    assert not addresses & {value.data_ptr() for value in wrapped.state_dict().values()}
