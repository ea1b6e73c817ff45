"""A training that is made longer goes on along the curve of its new length."""

import pytest
import torch

from monai_attn.training.schedule import PolynomialDecay, WarmupCosine


def schedule(epochs):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    return optimizer, WarmupCosine(optimizer, warmup_steps=2, warmup_multiplier=0.1, t_total=epochs)


def rates(optimizer, cosine, epochs):
    """The learning rate of each of the next epochs."""
    used = []
    for _ in range(epochs):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    return used


def resumed(optimizer, cosine, epochs):
    """A schedule of some length with the state of another."""
    new_optimizer, new = schedule(epochs)
    new_optimizer.load_state_dict(optimizer.state_dict())
    new.load_state_dict(cosine.state_dict())
    return new_optimizer, new


@pytest.mark.parametrize("done", [0, 1, 2, 5, 6])
@pytest.mark.parametrize("total", [6, 7, 12])
def test_the_rest_is_that_of_a_training_of_the_new_length(done, total):
    short = schedule(6)
    rates(*short, done)
    assert rates(*resumed(*short, total), total - done) == rates(*schedule(total), total)[done:]


def test_the_rate_never_rises_after_the_warm_up(tmp_path):
    short = schedule(6)
    rates(*short, 4)
    rest = rates(*resumed(*short, 12), 8)
    assert rest == sorted(rest, reverse=True)
    assert rest[-1] > 0


def decay(epochs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    return optimizer, PolynomialDecay(optimizer, epochs, power=2)


def test_the_polynomial_is_that_of_the_remaining_epochs():
    assert rates(*decay(5), 6) == pytest.approx([0.5, 0.32, 0.18, 0.08, 0.02, 0.0])


@pytest.mark.parametrize("done", [0, 2, 5])
def test_a_longer_training_follows_the_polynomial_of_its_own_length(done):
    optimizer, short = decay(5)
    rates(optimizer, short, done)
    new_optimizer, new = decay(10)
    new_optimizer.load_state_dict(optimizer.state_dict())
    new.load_state_dict(short.state_dict())
    assert rates(new_optimizer, new, 10 - done) == pytest.approx(rates(*decay(10), 10)[done:])
