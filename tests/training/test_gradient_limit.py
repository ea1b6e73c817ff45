"""A limit of the gradient, between the backward pass and the step."""

import pytest
import torch
from monai.engines import SupervisedTrainer

from monai_attn.training.gradient_limit import GradientLimit


def moved(slope, *handlers):
    """How far one step of a trainer moves a weight, by the slope of the loss; the learning rate is 1."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": torch.ones(1, 1), "label": torch.ones(1, 1)}],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda out, label: slope * out.sum(),
        train_handlers=[handler(network) for handler in handlers],
    )
    trainer.run()
    return -network.weight.item()


def test_only_a_longer_gradient_is_scaled_down():
    def limit(network):
        return GradientLimit(network, norm=2.0)

    assert moved(7.0) == pytest.approx(7.0)
    assert moved(7.0, limit) == pytest.approx(2.0, abs=1e-4)
    assert moved(1.0, limit) == pytest.approx(1.0)


@pytest.mark.parametrize("norm", [0, -1, float("nan")])
def test_the_norm_is_above_0(norm):
    with pytest.raises(ValueError, match="must be above 0"):
        GradientLimit(torch.nn.Linear(1, 1), norm)
