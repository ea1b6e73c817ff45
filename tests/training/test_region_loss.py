import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits

from monai_attn.datasets.ignore import IGNORED
from monai_attn.training.region_loss import RegionDiceBCELoss

REGIONS = {"1": [1, 2], "2": [2]}


def logits(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def label(*shape, seed=1):
    return torch.randint(3, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


@pytest.mark.parametrize("ignore", [None, 3])
@pytest.mark.parametrize("batch", [False, True])
def test_it_is_the_dice_and_the_binary_cross_entropy_of_each_region(ignore, batch):
    x, y = logits(2, 2, 4, 4, 4), label(2, 1, 4, 4, 4)
    truth = torch.cat([y > 0, y == 2], dim=1).float()
    expected = DiceLoss(sigmoid=True, batch=batch)(x, truth)
    expected = expected + binary_cross_entropy_with_logits(x, truth)
    loss = RegionDiceBCELoss(REGIONS, ignore, batch=batch)(x, y)
    torch.testing.assert_close(loss, expected)


def test_each_part_has_its_weight():
    x, y = logits(1, 2, 8), label(1, 1, 8)
    dice, entropy = (
        RegionDiceBCELoss(REGIONS, lambda_dice=dice, lambda_ce=1 - dice)(x, y) for dice in (1, 0)
    )
    torch.testing.assert_close(RegionDiceBCELoss(REGIONS)(x, y), dice + entropy)
    assert dice != entropy


def test_ignored_voxels_count_nowhere():
    x, y = logits(1, 2, 8), label(1, 1, 8)
    loss = RegionDiceBCELoss(REGIONS, ignore=3)
    known = loss(x[..., :5], y[..., :5])
    y[..., 5:] = IGNORED
    with torch.no_grad():
        x[..., 6] = torch.nan
    torch.testing.assert_close(loss(x, y), known)
    loss(x, y).backward()
    assert not x.grad[..., 5:].any()
    assert x.grad[..., :5].any()


def test_a_window_without_a_known_voxel_adds_nothing():
    x, y = logits(1, 2, 8), torch.full((1, 1, 8), IGNORED, dtype=torch.uint8)
    loss = RegionDiceBCELoss(REGIONS, ignore=3)(x, y)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert not x.grad.any()


def test_deep_supervision_compares_each_level():
    levels, y = [logits(1, 2, 8, 8), logits(1, 2, 4, 4)], label(1, 1, 8, 8)
    loss = DeepSupervisionLoss(RegionDiceBCELoss(REGIONS, ignore=3))(levels, y)
    loss.backward()
    assert all(level.grad.any() for level in levels)


def test_a_loss_without_regions_is_refused():
    with pytest.raises(ValueError, match="must name the regions of the loss"):
        RegionDiceBCELoss(None)
