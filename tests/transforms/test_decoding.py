import pytest
import torch

from monai_attn.datasets.regions import Regions
from monai_attn.transforms.decoding import BACKGROUND, Decoding

CLASSES = Decoding()
REGIONS = Decoding(Regions({1: (1, 2), 2: (2,)}))


@pytest.mark.parametrize(
    ("logits", "label"),
    [([-1, -1], 0), ([1, -1], 1), ([1, 1], 2), ([-1, 1], 2), ([0, 0], 0)],
)
def test_later_regions_are_written_over_earlier_ones(logits, label):
    assert REGIONS.labels(torch.tensor(logits).float()[:, None]).tolist() == [label]


@pytest.mark.parametrize(("decoding", "channels"), [(CLASSES, 2), (CLASSES, 3), (REGIONS, 2)])
def test_resampled_values_give_the_labels_of_the_logits(decoding, channels):
    logits = torch.randn(channels, 50, generator=torch.Generator().manual_seed(0))
    values = decoding.values(logits)
    torch.testing.assert_close(decoding.labels_of(values).long(), decoding.labels(logits).long())
    assert torch.equal(decoding.foreground(logits), decoding.labels(logits) > 0)
    empty = torch.tensor(decoding.empty(channels))[:, None]
    assert len(empty) == len(values)
    assert not decoding.labels_of(empty).any()


@pytest.mark.parametrize(("decoding", "channels"), [(CLASSES, 2), (CLASSES, 3), (REGIONS, 2)])
def test_labels_take_a_byte_each(decoding, channels):
    """They are copied from a GPU to the host."""
    values = decoding.values(torch.zeros(channels, 5))
    assert decoding.labels_of(values).element_size() == 1


@pytest.mark.parametrize(("decoding", "channels"), [(CLASSES, 3), (REGIONS, 2), (CLASSES, 1)])
def test_the_background_is_certain(decoding, channels):
    logits = torch.tensor(decoding.background(channels))[:, None]
    assert logits.abs().eq(BACKGROUND).all()
    assert not decoding.labels(logits).any()
    assert not decoding.foreground(logits).any()


@pytest.mark.parametrize("decoding", [CLASSES, REGIONS])
def test_logits_of_probabilities_have_these_probabilities(decoding):
    logits = torch.tensor([[3.0, -60.0], [-2.0, 80.0]])
    mean = decoding.probabilities(logits)
    again = decoding.logits(mean)
    assert again.isfinite().all()
    torch.testing.assert_close(decoding.probabilities(again), mean, atol=1e-6, rtol=1e-6)


def test_the_activation_is_a_softmax_over_classes_or_a_sigmoid_per_region():
    logits = torch.tensor([[0.0], [0.0]])
    assert (CLASSES.activation, REGIONS.activation) == ("softmax", "sigmoid")
    assert CLASSES.foreground_probability(logits).tolist() == [0.5]
    logits = torch.tensor([[2.0], [-2.0]])
    assert CLASSES.foreground_probability(logits) == pytest.approx(0.018, abs=1e-3)
    assert REGIONS.foreground_probability(logits) == pytest.approx(0.881, abs=1e-3)
