"""Views of a scan: what moves is moved back, and further outputs stay out."""

import pytest
import torch

from monai_attn.inference.views import GREY, View, further_views


def placed(x):
    """A network that knows left from right: its logits are the input times the place."""
    place = torch.arange(x[0, 0].numel(), dtype=x.dtype).reshape(x.shape[2:])
    return torch.cat([x * place, x + place], dim=1), torch.zeros(1)


@pytest.mark.parametrize("flip", [(0,), (1,), (0, 1), (2,), (0, 1, 2)])
def test_a_flip_is_undone_exactly(flip):
    x = torch.randn(2, 1, 4, 3, 2)
    dims = [2 + axis for axis in flip]
    found = View(flip=flip)(placed)(x)
    assert torch.equal(found, placed(x.flip(dims))[0].flip(dims))
    assert torch.equal(View(flip=flip)(lambda x: x)(x), x)
    assert not torch.equal(found, placed(x)[0])


def test_a_slice_is_flipped_in_its_own_axes():
    x = torch.randn(2, 1, 4, 3)
    assert torch.equal(View(flip=(1,))(placed)(x), placed(x.flip(3))[0].flip(3))


def test_grey_values_are_stretched_then_shifted_and_the_window_is_left_as_it_is():
    x = torch.rand(1, 1, 4, 4)
    before = x.clone()
    assert torch.equal(View(gain=0.5, offset=0.25)(lambda x: x)(x), x * 0.5 + 0.25)
    assert torch.equal(x, before)


def test_each_axis_that_may_be_mirrored_is_a_view_more():
    assert further_views() == GREY
    assert further_views((0, 2)) == (*GREY, View(flip=(0,)), View(flip=(2,)))
    assert View() not in further_views((0, 1, 2)), "the plain view comes first by itself"
