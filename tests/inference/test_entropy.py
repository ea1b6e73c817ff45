"""The entropy of probabilities: from 0, certain, to 1, all classes alike."""

import pytest
import torch

from monai_attn.datasets.regions import Regions
from monai_attn.inference.entropy import entropy, with_entropy
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.restore import Slab

BOX = (slice(0, 3), slice(0, 4), slice(0, 2))


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_all_alike_is_one_and_certain_is_zero(classes):
    logits = torch.zeros(classes, 3, 4, 2)
    torch.testing.assert_close(entropy(logits), torch.ones(1, 3, 4, 2))
    logits[1] = 200
    assert (entropy(logits) == 0).all()


def test_by_hand():
    logits = torch.tensor([0.9, 0.1]).log().reshape(2, 1, 1)
    bits = -(0.9 * torch.tensor(0.9).log2() + 0.1 * torch.tensor(0.1).log2())
    torch.testing.assert_close(entropy(logits)[0, 0, 0], bits)


def test_of_regions_it_is_that_of_the_most_doubtful_one():
    decoding = Decoding(Regions({1: (1, 2), 2: (2,)}))
    logits = torch.tensor([[200.0, 200.0, 1.0], [-200.0, 0.0, 1.0]]).reshape(2, 1, 1, 3)
    one = torch.tensor([0.0, 1.0]).sigmoid()[1]
    bits = -(one * one.log2() + (1 - one) * (1 - one).log2())
    found = entropy(logits, decoding=decoding)[0, 0, 0]
    torch.testing.assert_close(found, torch.stack([torch.tensor(0.0), torch.tensor(1.0), bits]))


def test_a_temperature_divides_the_logits():
    logits = torch.randn(3, 3, 4, 2) * 4
    torch.testing.assert_close(entropy(logits, 2.5), entropy(logits / 2.5))
    assert (entropy(logits, 2.5) > entropy(logits)).all()


def test_logits_of_half_precision_are_not_rounded_further():
    logits = torch.randn(2, 3, 4, 2).to(torch.bfloat16)
    found = entropy(logits, 1.3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, entropy(logits.float(), 1.3), atol=0, rtol=0)


def test_it_becomes_the_last_map_and_says_where_nothing_was_asked():
    attention = torch.rand(1, 3, 4, 2)
    seen = torch.rand(1, 3, 4, 2) > 0.5
    slab = Slab(BOX, torch.randn(2, 3, 4, 2), (attention,), seen)
    (found,) = with_entropy([slab], 2.0)
    assert found.maps[0] is attention
    own = found.maps[1]
    assert torch.equal(own.isnan(), ~seen)
    assert torch.equal(own[seen], entropy(slab.logits, 2.0)[seen])
    assert torch.equal(found.logits, slab.logits)


def test_a_slab_that_says_nothing_of_where_was_seen_everywhere():
    (found,) = with_entropy([Slab(BOX, torch.randn(2, 3, 4, 2))], 1.0)
    assert not found.maps[0].isnan().any()
