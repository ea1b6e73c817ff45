"""A training in a picture."""

from dataclasses import dataclass

import matplotlib.image
import numpy as np
import pytest

from monai_attn.reporting.curves import METRIC_COLOUR, write_curves, write_gate_curves


@dataclass
class Row:
    epoch: int
    loss: float
    metric: float | None = None


@dataclass
class GateRow:
    epoch: int
    gate: int
    inside: float | None
    outside: float | None


def has_colour(picture, colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(picture[..., :3] - rgb) < 0.01).all(axis=-1).any())


@pytest.mark.parametrize("metric", [None, 0.5], ids=["without a metric", "with one"])
def test_the_metric_is_drawn_where_there_is_one(tmp_path, metric):
    rows = [Row(1, 1.0), Row(2, 0.5, metric), Row(3, 0.25)]
    picture = matplotlib.image.imread(write_curves(rows, "val_mean_dice", tmp_path / "c.png"))
    assert has_colour(picture, METRIC_COLOUR) == (metric is not None)


def test_one_epoch_is_enough(tmp_path):
    assert write_curves([Row(1, 1.0, 0.2)], "dice", tmp_path / "c.png").stat().st_size > 1000


@pytest.mark.parametrize("inside", [None, 0.9], ids=["no label was seen", "labels"])
def test_each_gate_has_its_colour(tmp_path, inside):
    rows = [GateRow(epoch, gate, inside, 0.5) for epoch in (1, 2) for gate in (1, 3)]
    picture = matplotlib.image.imread(write_gate_curves(rows, tmp_path / "g.png"))
    first, second, third = "#1f77b4", "#ff7f0e", "#2ca02c"  # matplotlib's own
    assert has_colour(picture, first)
    assert has_colour(picture, second)
    assert not has_colour(picture, third)


def test_gates_of_which_nothing_is_known_are_an_empty_picture(tmp_path):
    path = write_gate_curves([GateRow(1, 1, None, None)], tmp_path / "g.png")
    assert path.stat().st_size > 1000
