"""A training in a picture."""

from dataclasses import dataclass

import matplotlib.image
import numpy as np
import pytest

from monai_attn.report.curves import METRIC_COLOUR, write_curves


@dataclass
class Row:
    epoch: int
    loss: float
    metric: float | None = None


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
