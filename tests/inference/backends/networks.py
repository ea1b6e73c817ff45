"""Small networks, their windows and results, for tests of backends."""

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from monai_attn import AttentionUNet
from monai_attn.inference.backends.backend import PACKAGES
from monai_attn.inference.backends.eager import has_bfloat16
from monai_attn.networks.gates import AdditiveGate

CPU = torch.device("cpu")
WINDOWS = {2: (1, 20, 32), 3: (1, 16, 13, 16)}


class WithMaps(nn.Module):
    """A network that returns logits and attention maps, in the container it is given."""

    def __init__(self, network, container):
        super().__init__()
        self.network, self.container = network, container

    def forward(self, x):
        logits, maps = self.network.forward_with_attention(x)
        return self.container([logits, *maps])


def build_network(spatial_dims=2, container=None, **arguments):
    """A network in eval mode, with maps where there is a container for them."""
    torch.manual_seed(0)
    net = AttentionUNet(spatial_dims, 1, 2, channels=(4, 6, 8), strides=(2, 2), **arguments)
    with torch.no_grad():  # as after training: statistics of real features, attention that varies
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
            if isinstance(module, AdditiveGate):
                nn.init.normal_(module.psi.weight, std=3.0)
                nn.init.zeros_(module.psi.bias)
        net.heads[0].bias.copy_(torch.tensor([2.0, -2.0]))  # mostly background
        net.train()(random_windows(spatial_dims, 2))
    return (net if container is None else WithMaps(net, container)).eval()


def random_windows(spatial_dims=2, batch=1, seed=1):
    """A batch of windows, drawn by a seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, *WINDOWS[spatial_dims], generator=generator)


def eager_outputs(net, x):
    """All outputs of a network, by eager torch."""
    with torch.no_grad():
        outputs = net(x)
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


def skip_without(name, precision="float32"):
    """Skip a test whose backend, or whose precision, this machine lacks."""
    for package in PACKAGES.get(name, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if precision == "bfloat16" and not has_bfloat16(CPU):
        pytest.skip("no bfloat16 units")
