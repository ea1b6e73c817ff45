"""Mixed precision through any inferer."""

import pytest
import torch
from monai.inferers import SimpleInferer, SlidingWindowInferer

from monai_attn.inference.autocast import AutocastInferer
from monai_attn.networks.gates import Draw, SampledOutput


def dtype_seen(inferer):
    """What a convolution computes in when the inferer runs it, and the dtype of its logits."""
    seen = []
    convolution = torch.nn.Conv2d(1, 2, 1)

    def network(x):
        logits = convolution(x)
        seen.append(logits.dtype)
        return logits

    logits = inferer(torch.rand(1, 1, 4, 4), network)
    return seen, logits.dtype


def test_the_network_computes_in_the_dtype_and_the_logits_are_float32():
    inferer = AutocastInferer(SimpleInferer(), "bfloat16")
    assert dtype_seen(inferer) == ([torch.bfloat16], torch.float32)


def test_a_list_of_logits_stays_a_list():
    logits = AutocastInferer(SimpleInferer())(torch.rand(1, 1, 4, 4), lambda x: [x, x[..., ::2]])
    assert [level.shape[-1] for level in logits] == [4, 2]


def test_a_named_tuple_of_several_outputs_keeps_its_names():
    draw = Draw(*torch.ones(3, 1, dtype=torch.bfloat16))
    inferer = AutocastInferer(SimpleInferer(), "bfloat16")
    output = inferer(torch.rand(1, 1, 4, 4), lambda x: SampledOutput([x, x.bfloat16()], (draw,)))
    assert isinstance(output, SampledOutput)
    assert {level.dtype for level in (*output.logits, *output.draws[0])} == {torch.float32}


def test_a_sliding_window_goes_through():
    inferer = AutocastInferer(SlidingWindowInferer((4, 4), overlap=0.5))
    x = torch.rand(1, 1, 9, 7)
    torch.testing.assert_close(inferer(x, lambda window: window), x)


@pytest.mark.parametrize("dtype", ["int8", "nonsense"])
def test_a_dtype_that_is_not_floating_is_named(dtype):
    with pytest.raises(ValueError, match=rf"dtype \(='{dtype}'\) must be auto or name a floating"):
        AutocastInferer(SimpleInferer(), dtype)


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_bfloat16_where_the_device_has_it(monkeypatch, has):
    monkeypatch.setattr("monai_attn.inference.autocast.has_bfloat16", lambda device: has)
    expected = torch.bfloat16 if has else torch.float32
    assert dtype_seen(AutocastInferer(SimpleInferer())) == ([expected], torch.float32)
