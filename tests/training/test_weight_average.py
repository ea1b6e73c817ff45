"""The average of the weights is validated and kept instead of the weights."""

import pytest
import torch

from trainings import CutOffError, Toy


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("monai_attn.training.history.write_curves", lambda *_: None)


def kept(toy):
    """The weights in the file that a bundle loads."""
    state = torch.load(toy.folder / "model.pt", weights_only=True)
    return torch.cat([state[name].flatten() for name, _ in toy.network.named_parameters()])


def test_the_average_changes_nothing_in_the_weights_that_are_trained(tmp_path):
    plain, averaged = Toy(tmp_path / "a").run(), Toy(tmp_path / "b", average=5).run()
    assert torch.equal(plain.weights(), averaged.weights())


def test_the_average_of_weights_that_do_not_change_is_those_weights(tmp_path):
    toy = Toy(tmp_path, rate=0.0, average=5).run()
    assert torch.allclose(kept(toy), toy.weights())


def test_the_kept_weights_lie_between_the_first_and_the_last(tmp_path):
    toy = Toy(tmp_path, epochs=1, interval=1, average=50)
    before = toy.weights()
    after = toy.run().weights()
    part = (kept(toy) - before) / (after - before)
    assert 0 < part.median() < 1


def test_the_validator_runs_the_average(tmp_path):
    toy = Toy(tmp_path, interval=1, epochs=2, average=5).run()
    validated = torch.cat([p.flatten() for p in toy.evaluator.network.parameters()])
    averaged = toy.average.state_dict()["weights"]
    assert torch.equal(validated, torch.cat([w.flatten() for w in averaged.values()]))
    assert not torch.equal(validated, toy.weights())


@pytest.mark.parametrize("after", [1, 4])
def test_an_average_goes_on_after_a_resume(tmp_path, after):
    unbroken = Toy(tmp_path / "unbroken", average=3).run()
    with pytest.raises(CutOffError):
        Toy(tmp_path / "cut", average=3, stop_after=after).run()
    resumed = Toy(tmp_path / "cut", average=3, resume=True).run()
    assert torch.equal(kept(resumed), kept(unbroken))
    last = [toy.evaluator.network.state_dict() for toy in (resumed, unbroken)]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])


def test_steps_below_zero_are_refused(tmp_path):
    with pytest.raises(ValueError, match="steps"):
        Toy(tmp_path, average=-1)
