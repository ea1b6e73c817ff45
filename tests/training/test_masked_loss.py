"""What the network says where nobody knows the label has no part in the loss."""

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss

from monai_attn import AttentionUNet
from monai_attn.datasets.ignore import IGNORED
from monai_attn.training.hard_attention_loss import HardAttentionLoss
from monai_attn.training.masked_loss import MaskedDiceCELoss

OPTIONS = {"include_background": False, "to_onehot_y": True, "softmax": True}
SHAPES = {"2D": (8, 6), "3D": (8, 6, 4)}
GARBAGE = {
    "others": lambda x: 5 - 3 * x,
    "large": lambda x: x + 1e30,
    "NaN": lambda x: x * float("nan"),
    "infinite": lambda x: x + float("inf"),
}


def masked(**options):
    return MaskedDiceCELoss(ignore=9, **OPTIONS | options)


def batch(shape=(8, 6, 4), classes=3, known=lambda label: label):
    """Logits of two windows, and their labels, of which some are ignored."""
    torch.manual_seed(0)
    logits = torch.randn(2, classes, *shape)
    label = torch.randint(0, classes, (2, 1, *shape), dtype=torch.uint8)
    return logits, known(label)


def sparse(label):
    """Every third slice is known."""
    label = label.clone()
    label[:, :, torch.arange(label.shape[2]) % 3 > 0] = IGNORED
    return label


def value_and_gradient(loss, logits, label):
    logits = logits.clone().requires_grad_()
    value = loss(logits, label)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_what_is_said_of_ignored_voxels_changes_nothing(shape, garbage):
    logits, label = batch(shape, known=sparse)
    other = torch.where(label == IGNORED, garbage(logits), logits)
    assert not torch.equal(other, logits)
    value, gradient = value_and_gradient(masked(), logits, label)
    again, other_gradient = value_and_gradient(masked(), other, label)
    assert torch.equal(value, again)
    assert torch.equal(gradient, other_gradient)
    assert value > 0


def test_the_gradient_of_ignored_voxels_is_exactly_0_and_that_of_known_ones_is_not():
    logits, label = batch(known=sparse)
    _, gradient = value_and_gradient(masked(), logits, label)
    ignored = (label == IGNORED).expand_as(logits)
    assert gradient[ignored].count_nonzero() == 0
    assert gradient[~ignored].count_nonzero() == (~ignored).sum()


WEIGHT = torch.tensor([1.0, 10.0, 2.0])


@pytest.mark.parametrize("options", [{}, {"batch": True}, {"weight": WEIGHT}], ids=str)
def test_it_is_monais_loss_of_the_known_voxels(options):
    """Cut out of the volume they have the same loss."""
    logits, label = batch((9, 6), known=sparse)
    rows = torch.arange(9) % 3 == 0
    expected = DiceCELoss(**OPTIONS | options)(logits[:, :, rows], label[:, :, rows])
    torch.testing.assert_close(masked(**options)(logits, label), expected)


@pytest.mark.parametrize("options", [{}, {"batch": True}, {"weight": WEIGHT}], ids=str)
def test_where_every_voxel_is_known_it_is_monais_to_the_last_bit(options):
    logits, label = batch()
    expected = value_and_gradient(DiceCELoss(**OPTIONS | options), logits, label)
    for loss in (masked(**options), MaskedDiceCELoss(**OPTIONS | options)):
        found = value_and_gradient(loss, logits, label)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_a_window_without_a_known_voxel_adds_nothing_to_the_others():
    logits, label = batch()
    label[1] = IGNORED
    value, gradient = value_and_gradient(masked(), logits, label)
    assert gradient[1].count_nonzero() == 0
    dice, ce = (
        DiceCELoss(**OPTIONS | part)(logits[:1], label[:1])
        for part in ({"lambda_ce": 0}, {"lambda_dice": 0})
    )
    torch.testing.assert_close(value, dice / 2 + ce)  # a mean over windows; one over voxels


def test_a_batch_without_a_known_voxel_has_no_loss_and_no_gradient():
    logits, label = batch(known=lambda label: torch.full_like(label, IGNORED))
    value, gradient = value_and_gradient(masked(), logits, label)
    assert value == 0
    assert gradient.count_nonzero() == 0
    assert gradient.isfinite().all()


def test_a_network_that_says_no_number_of_known_voxels_is_not_hidden():
    logits, label = batch(known=sparse)
    assert masked()(logits * float("nan"), label).isnan()


# --- of deep supervision, and of hard gates


def test_each_level_of_deep_supervision_leaves_out_its_ignored_voxels():
    _, label = batch((8, 8), known=sparse)
    levels = [torch.randn(2, 3, n, n, requires_grad=True) for n in (8, 4, 2)]
    loss = DeepSupervisionLoss(masked())
    loss(levels, label).backward()
    for level in levels:
        step = 8 // level.shape[2]
        there = label[:, :, step // 2 :: step, step // 2 :: step]  # as nearest-exact takes them
        ignored = (there == IGNORED).expand_as(level)
        assert ignored.any()
        assert level.grad[ignored].count_nonzero() == 0
        assert level.grad[~ignored].all()


def hard_network(estimator):
    torch.manual_seed(0)
    gate = ("hard", {"estimator": estimator})
    return AttentionUNet(2, 1, 3, channels=(4, 8), strides=(2,), gate=gate, gated_levels=(0,))


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
def test_the_loss_of_hard_gates_leaves_out_ignored_voxels(estimator):
    network = hard_network(estimator).train()
    loss = HardAttentionLoss(DeepSupervisionLoss(masked()), network, ignore=9)
    _, label = batch((8, 8), known=sparse)
    values = []
    for other in (0.0, 100.0):
        torch.manual_seed(1)
        loss.total.fill_(0.1)
        loss.steps.fill_(1)
        output = network(torch.ones(2, 1, 8, 8))
        logits = output.logits
        logits.retain_grad()
        changed = torch.where(label == IGNORED, other - logits, logits)
        total = loss(output._replace(logits=changed), label)
        total.backward()
        values.append((total.detach(), loss.total.clone()))
        assert logits.grad[(label == IGNORED).expand_as(logits)].count_nonzero() == 0
    assert values[0] == values[1]


def test_gates_are_not_rewarded_for_windows_that_nobody_knows():
    """No loss is no success: neither the score nor the baseline may take it for one."""
    network = hard_network("reinforce").train()
    _, label = batch((8, 8))
    blind = torch.full_like(label[:1], IGNORED)
    for labels, known in ((label[:1], 1), (torch.cat([label[:1], blind]), 1), (blind, 0)):
        loss = HardAttentionLoss(masked(), network, ignore=9, momentum=0.5)
        loss.total.fill_(0.5)  # a baseline of 1
        loss.steps.fill_(1)
        output = network(torch.ones(len(labels), 1, 8, 8))
        logits = output.logits.detach()
        drawn = output.draws[0].log_probability
        drawn.retain_grad()
        loss(output._replace(logits=logits), labels).backward(inputs=[drawn])
        assert drawn.grad[known:].count_nonzero() == 0
        assert drawn.grad[:known].all()
        own = masked()(logits[:known], labels[:known]) if known else None
        expected = (0.25 + 0.5 * own) / 0.75 if known else torch.ones(())  # as it was
        torch.testing.assert_close(loss.baseline, expected)
