"""How far a training is."""

import pytest

from monai_attn.training.history import Epoch
from monai_attn.training.progress import epoch_line


def epochs(*seconds, metric=None):
    return [Epoch(number, 0.5, metric, 0.001, 40, time) for number, time in enumerate(seconds, 1)]


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (epochs(10.0), "epoch 1/4  loss 0.5000  4.00 windows/s  0:00:30 left"),
        (epochs(0.01), "epoch 1/4  loss 0.5000  4000.00 windows/s  0:00:00 left"),
        # the first filled the cache
        (epochs(90.0, 10.0), "epoch 2/4  loss 0.5000  4.00 windows/s  0:00:20 left"),
        (
            epochs(*[20.0] * 4, metric=0.75),
            "epoch 4/4  loss 0.5000  dice 0.7500  2.00 windows/s  done",
        ),
    ],
)
def test_a_line_says_how_it_goes_and_what_is_left(done, expected):
    assert epoch_line(done, 4, "dice") == expected
