"""What a training writes down of each epoch."""

import csv
import math

import pytest
from ignite.engine import Events

from trainings import CutOffError, Toy


def table(folder):
    with (folder / "progress.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_epoch_is_a_row(tmp_path):
    toy = Toy(tmp_path, epochs=4).run()
    rows = table(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["metric"] != "" for row in rows] == [False, True, False, True]
    assert float(rows[-1]["metric"]) == toy.evaluator.state.metrics["val_mean_dice"]
    assert float(rows[1]["learning_rate"]) == pytest.approx(0.1 * 0.9)
    assert {row["windows"] for row in rows} == {"4"}
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_the_loss_is_the_mean_over_the_steps(tmp_path):
    toy = Toy(tmp_path, epochs=1)
    losses = []
    toy.trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda engine: losses.append(engine.state.output[0]["loss"]),
    )
    toy.run()
    assert len(losses) == 2
    assert toy.history.epochs[0].loss == pytest.approx(sum(losses) / 2)


def test_after_a_resume_the_table_has_each_epoch_once(tmp_path):
    with pytest.raises(CutOffError):
        Toy(tmp_path, stop_after=3).run()
    assert len(table(tmp_path)) == 3
    Toy(tmp_path, resume=True).run()
    assert [row["epoch"] for row in table(tmp_path)] == [*"123456"]


def test_curves_and_events_are_there(tmp_path):
    Toy(tmp_path, epochs=2).run()
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert any(file.stat().st_size > 100 for file in tmp_path.glob("events.out.tfevents.*"))


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    toy = Toy(tmp_path)
    toy.trainer.loss_function = lambda logits, label: logits.mean() * math.nan
    with pytest.raises(ValueError, match=r"the loss of epoch 1 is not finite \(got nan\)"):
        toy.run()
