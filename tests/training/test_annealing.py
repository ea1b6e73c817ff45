"""The temperature of hard gates falls from epoch to epoch."""

from types import SimpleNamespace

import pytest
from ignite.engine import Engine

from monai_attn import AttentionUNet
from monai_attn.training.annealing import AnnealTemperature


def at_epoch(epoch):
    return SimpleNamespace(state=SimpleNamespace(epoch=epoch))


def temperatures(net):
    return [level.gate.temperature for level in net.decoder if level.gate is not None]


def test_it_falls_by_one_factor_from_the_first_epoch_to_the_last():
    net = AttentionUNet(2, 1, 2, channels=(4, 4, 4), strides=(2, 2), gate="hard")
    anneal = AnnealTemperature(net, epochs=5, start=1.6, end=0.1)
    for epoch, expected in ((1, 1.6), (2, 0.8), (3, 0.4), (5, 0.1), (3, 0.4)):
        anneal(at_epoch(epoch))  # what came before counts for nothing: a resumed run does the same
        assert temperatures(net) == [pytest.approx(expected)]


def test_a_training_anneals_as_each_epoch_begins():
    net = AttentionUNet(2, 1, 2, channels=(4, 4), strides=(2,), gate="hard")
    seen = []
    engine = Engine(lambda engine, batch: seen.extend(temperatures(net)))
    AnnealTemperature(net, epochs=3, start=1.0, end=0.25).attach(engine)
    engine.run([0, 0], max_epochs=3)
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_a_single_epoch_is_the_first():
    net = AttentionUNet(2, 1, 2, channels=(4, 4), strides=(2,), gate="hard")
    AnnealTemperature(net, epochs=1, start=1.0, end=0.1)(at_epoch(1))
    assert temperatures(net) == [1.0]


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"start \(=1.0\) and end \(=0.0\) must be above 0"):
        AnnealTemperature(AttentionUNet(2, 1, 2, gate="hard"), epochs=2, end=0.0)
