"""A training ends when it no longer improves."""

import pytest

from trainings import CutOffError, Toy


def test_a_training_that_does_not_improve_ends(tmp_path):
    toy = Toy(tmp_path, epochs=20, interval=1, patience=3, rate=0.0).run()
    assert len(toy.history.epochs) == 4  # the first, and three that are no better


def test_waiting_goes_on_after_a_resume(tmp_path):
    with pytest.raises(CutOffError):
        Toy(tmp_path, epochs=20, interval=1, patience=3, rate=0.0, stop_after=2).run()
    toy = Toy(tmp_path, epochs=20, interval=1, patience=3, rate=0.0, resume=True).run()
    assert len(toy.history.epochs) == 4


def test_a_training_that_had_ended_is_not_trained_further(tmp_path):
    ended = Toy(tmp_path, epochs=20, interval=1, patience=3, rate=0.0).run()
    again = Toy(tmp_path, epochs=20, interval=1, patience=3, rate=0.0, resume=True).run()
    assert len(again.history.epochs) == len(ended.history.epochs) == 4


def test_with_more_epochs_waiting_begins_anew(tmp_path):
    """The metric that is to be beaten stays."""
    still = {"interval": 1, "patience": 3, "rate": 0.0}
    Toy(tmp_path, epochs=20, **still).run()
    longer = Toy(tmp_path, epochs=30, resume=True, **still).run()
    assert len(longer.history.epochs) == 4 + 3
    assert longer.early_stop.state_dict()["counter"] == 3
    assert len(Toy(tmp_path, epochs=30, resume=True, **still).run().history.epochs) == 7


def test_a_state_of_an_earlier_version_goes_on_waiting(tmp_path):
    toy = Toy(tmp_path, epochs=5, interval=1, patience=3, rate=0.0)
    toy.early_stop.load_state_dict({"counter": 2, "best_score": 0.5})
    state = toy.early_stop.state_dict()
    assert (state["counter"], state["best_score"], state["epochs"]) == (2, 0.5, 5)
