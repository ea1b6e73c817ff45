"""Agreement of a backend with eager torch."""

from math import inf, nan

import pytest
import torch

from monai_attn.inference.backends.parity import Parity, compare, synthetic_window

REFERENCE = torch.tensor([[[3.0, 3.0, -1.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]]).movedim(0, 1)
MAP = torch.ones(1, 1, 4)
COMPARED = [  # what is compared, the error, the share of other labels
    ("the same", (REFERENCE, MAP), 0.0, 0.0),
    ("a tenth more", (1.1 * REFERENCE, MAP), 0.1, 0.0),
    ("the worst output counts", (REFERENCE, 0.5 * MAP), 0.5, 0.0),
    ("another sign", (-REFERENCE, MAP), 2.0, 1.0),
    ("an output less", (REFERENCE,), inf, 1.0),
    ("another shape", (REFERENCE, MAP[..., :2]), inf, 1.0),
]


@pytest.mark.parametrize(
    ("outputs", "error", "labels"), [row[1:] for row in COMPARED], ids=[row[0] for row in COMPARED]
)
def test_parity(outputs, error, labels):
    found = compare(outputs, (REFERENCE, MAP))
    assert (found.error, found.labels) == (pytest.approx(error), labels)


def test_one_channel_is_labelled_by_its_sign():
    logits = torch.tensor([[[2.0, -2.0, 2.0, -2.0]]])
    assert compare((logits.abs(),), (logits,)).labels == 0.5


@pytest.mark.parametrize(
    ("parity", "float32", "bfloat16"),
    [
        (Parity(2e-7, 0.0), True, True),
        (Parity(6e-3, 2e-5), False, True),
        (Parity(0.1, 0.0), False, False),
        (Parity(0.0, 0.02), False, False),
        (Parity(nan, 0.0), False, False),
        (Parity(inf, 1.0), False, False),
    ],
)
def test_agreement_is_a_matter_of_precision(parity, float32, bfloat16):
    assert (parity.agrees("float32"), parity.agrees("bfloat16")) == (float32, bfloat16)


@pytest.mark.parametrize("window", [(1, 40), (2, 33, 20), (1, 24, 17, 40)], ids=str)
def test_the_window_is_always_the_same_and_like_an_image(window):
    torch.manual_seed(5)
    x = synthetic_window(window)
    torch.rand(3)
    assert torch.equal(x, synthetic_window(window))
    assert x.shape == (1, *window)
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.std() > 0.1, "patches"
    assert x.diff(dim=-1).abs().mean() < 0.1, "smooth"
