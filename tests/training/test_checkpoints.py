"""A training that was cut off goes on as if it had not been."""

import pytest
import torch

from monai_attn.training.checkpoints import LAST, PREVIOUS, read_state
from trainings import CutOffError, Toy


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("monai_attn.training.history.write_curves", lambda *_: None)


def cut_off(folder, after, **options):
    toy = Toy(folder, stop_after=after, **options)
    with pytest.raises(CutOffError):
        toy.run()
    return toy


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_training_that_goes_on_ends_where_an_unbroken_one_does(tmp_path, after):
    unbroken = Toy(tmp_path / "unbroken").run()
    cut_off(tmp_path / "cut", after)
    resumed = Toy(tmp_path / "cut", resume=True).run()
    assert torch.equal(resumed.weights(), unbroken.weights())
    assert [e.loss for e in resumed.history.epochs] == [e.loss for e in unbroken.history.epochs]
    assert [e.metric for e in resumed.history.epochs] == [e.metric for e in unbroken.history.epochs]
    assert resumed.optimizer.param_groups[0]["lr"] == unbroken.optimizer.param_groups[0]["lr"]
    best = [torch.load(toy.folder / "model.pt", weights_only=True) for toy in (resumed, unbroken)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    state = resumed.evaluator.state
    assert state.best_metric == unbroken.evaluator.state.best_metric
    assert state.best_metric_epoch == unbroken.evaluator.state.best_metric_epoch


def test_without_resume_a_training_begins_anew(tmp_path):
    cut_off(tmp_path, 3)
    assert len(Toy(tmp_path).run().history.epochs) == 6


def test_with_nothing_to_go_on_from_a_training_begins(tmp_path):
    assert len(Toy(tmp_path, resume=True).run().history.epochs) == 6


def test_a_training_that_has_ended_is_not_trained_further(tmp_path):
    ended = Toy(tmp_path).run()
    again = Toy(tmp_path, resume=True).run()
    assert torch.equal(again.weights(), ended.weights())
    assert len(again.history.epochs) == 6


def test_more_epochs_can_follow(tmp_path):
    Toy(tmp_path, epochs=2).run()
    longer = Toy(tmp_path, epochs=6, resume=True).run()
    assert torch.equal(longer.weights(), Toy(tmp_path / "unbroken").run().weights())


def test_the_best_weights_are_those_of_the_best_validation(tmp_path):
    toy = Toy(tmp_path, epochs=8, interval=1).run()
    metrics = [epoch.metric for epoch in toy.history.epochs]
    assert toy.evaluator.state.best_metric_epoch == 1 + metrics.index(max(metrics))
    toy.network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    toy.evaluator.run()
    assert toy.evaluator.state.metrics["val_mean_dice"] == pytest.approx(max(metrics))


def test_a_training_without_validation_keeps_its_last_weights(tmp_path):
    toy = Toy(tmp_path, epochs=1).run()
    kept = torch.load(tmp_path / "model.pt", weights_only=True)
    assert torch.equal(kept["0.weight"], toy.network[0].weight)


def started_from(best, folder, **options):
    """A training that starts from the weights in its file of the best ones, as in a bundle."""
    toy = Toy(folder, **options)
    torch.save(best, folder / "model.pt")
    toy.network.load_state_dict(best)
    return toy


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    Toy(folder, epochs=30, rate=0.05).run()
    return torch.load(folder / "model.pt", weights_only=True)


@pytest.mark.parametrize("epochs", [1, 4])  # without a validation in between, and with
def test_weights_that_a_training_starts_from_stay_if_it_reaches_no_better(
    tmp_path, trained, caplog, epochs
):
    toy = started_from(trained, tmp_path, epochs=epochs, rate=5.0)  # it forgets everything
    before = (tmp_path / "model.pt").read_bytes()
    toy.run()
    assert (tmp_path / "model.pt").read_bytes() == before
    state = toy.evaluator.state
    assert state.best_metric_epoch == 0
    assert f"no epoch scored better (val_mean_dice {state.best_metric:.4f} at" in caplog.text


@pytest.mark.parametrize("epochs", [1, 30])
def test_better_weights_replace_those_that_a_training_starts_from(tmp_path, trained, epochs):
    start = {name: -tensor for name, tensor in trained.items()}
    toy = started_from(start, tmp_path, epochs=epochs, rate=0.1).run()
    kept = torch.load(tmp_path / "model.pt", weights_only=True)
    assert not torch.equal(kept["0.weight"], start["0.weight"])
    assert toy.evaluator.state.best_metric_epoch > 0


def test_other_weights_in_the_file_of_the_best_are_replaced(tmp_path, trained):
    torch.save(trained, tmp_path / "model.pt")
    toy = Toy(tmp_path, epochs=2, rate=0.0).run()
    kept = torch.load(tmp_path / "model.pt", weights_only=True)
    assert torch.equal(kept["0.weight"], toy.network[0].weight)


@pytest.mark.parametrize("damage", ["cut short", "empty", "other content"])
def test_a_damaged_state_is_said_and_the_one_before_taken(tmp_path, damage):
    cut_off(tmp_path, 4)
    last = tmp_path / LAST
    content = {"cut short": last.read_bytes()[:2000], "empty": b"", "other content": b"\x80\x04K."}
    last.write_bytes(content[damage])
    with pytest.warns(
        UserWarning, match=r"last\.pt: cannot be read .* Resuming from .*previous\.pt"
    ):
        resumed = Toy(tmp_path, resume=True).run()
    assert torch.equal(resumed.weights(), Toy(tmp_path / "unbroken").run().weights())


def test_states_that_are_both_damaged_are_an_error(tmp_path):
    cut_off(tmp_path, 4)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"no state")
    with pytest.raises(
        ValueError, match=r"last\.pt: cannot be read as a checkpoint .* Begin again"
    ):
        read_state(tmp_path)


def test_a_state_of_another_network_is_refused(tmp_path):
    cut_off(tmp_path, 2)
    with pytest.raises(ValueError, match=r"last\.pt: is of another network .*begin in another"):
        Toy(tmp_path, resume=True, width=8).run()


def test_a_full_disk_leaves_the_last_state(tmp_path, monkeypatch):
    toy = Toy(tmp_path, epochs=4)
    save = torch.save

    def full(state, file):
        if isinstance(state, dict) and state.get("epoch") == 3:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"last\.pt: cannot be written \(No space left on device\)"):
        toy.run()
    monkeypatch.undo()
    assert read_state(tmp_path)["epoch"] == 2
    resumed = Toy(tmp_path, epochs=4, resume=True).run()
    assert torch.equal(resumed.weights(), Toy(tmp_path / "unbroken", epochs=4).run().weights())


def test_a_scaler_goes_on(tmp_path):
    toy = cut_off(tmp_path, 2)
    toy.trainer.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    toy.checkpoints._save_last(toy.trainer)
    other = Toy(tmp_path, resume=True)
    other.trainer.scaler = torch.amp.GradScaler("cpu")
    other.checkpoints._restore(other.trainer)
    assert other.trainer.scaler.get_scale() == 4
