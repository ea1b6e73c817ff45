"""Every variant of the network, small enough for a test."""

import itertools

import pytest
import torch
from torch import nn

from monai_attn import AttentionUNet
from monai_attn.networks.gates import AdditiveGate

SMALL = {"channels": (4, 6, 8), "strides": (2, 2)}
GATES = {
    "none": None,
    "soft": "soft",
    "soft on skip": ("soft", {"grid": "skip"}),
    "hard": "hard",
    "hard on skip": ("hard", {"grid": "skip"}),
}
VARIANTS = list(itertools.product((2, 3), GATES.values(), (0, 1)))
IDS = [f"{d}d-{name}-{ds}" for d, name, ds in itertools.product((2, 3), GATES, (0, 1))]
each_variant = pytest.mark.parametrize(
    ("spatial_dims", "gate", "deep_supervision"), VARIANTS, ids=IDS
)


def layers_of(net, kind):
    """The layers of a kind."""
    return [module for module in net.modules() if isinstance(module, kind)]


def build_unet(spatial_dims=2, gate="soft", deep_supervision=0, **arguments):
    """A network of one variant, in eval mode."""
    torch.manual_seed(0)
    settings = {**SMALL, "gate": gate, "deep_supervision": deep_supervision, **arguments}
    net = AttentionUNet(spatial_dims, 1, 3, **settings)
    with torch.no_grad():  # as after training: statistics of real features, attention that varies
        for module in layers_of(net, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
        for module in layers_of(net, AdditiveGate):
            nn.init.normal_(module.psi.weight, std=3.0)
            nn.init.zeros_(module.psi.bias)
        net.train()(random_image(spatial_dims))
    return net.eval()


def random_image(spatial_dims, batch=2, sizes=(17, 20, 14)):
    """A batch of odd sizes, always the same."""
    return torch.rand(batch, 1, *sizes[:spatial_dims], generator=torch.Generator().manual_seed(1))
