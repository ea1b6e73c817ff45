"""Hard gates are trained by what their formulas promise."""

import itertools

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss

from monai_attn import AttentionUNet, HardGate, SoftGate
from monai_attn.training.hard_attention import HardAttentionLoss

PLACES = 4


class SquaredError(torch.nn.Module):
    def forward(self, logits, label):
        return ((logits - label) ** 2).sum()


def tiny_gate(estimator, **options):
    """A gate of four choices: a skip of 2 x 2, a decision for each voxel."""
    torch.manual_seed(0)
    gate = HardGate(2, 1, 1, 2, grid="skip", estimator=estimator, **options).double()
    torch.nn.init.normal_(gate.psi.weight)
    torch.nn.init.zeros_(gate.psi.bias)
    return gate.train()


def tiny_batch():
    skip = torch.tensor([[[[1.0, -2.0], [0.5, 3.0]]]], dtype=torch.float64)
    return skip, -skip.flip(3), skip * torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])


def exact_gradient(gate, skip, gating, target):
    """Of the expected loss by the gate's parameters: the sum over all 2^4 outcomes."""
    p = torch.sigmoid(gate.logits(skip, gating)).flatten()
    expected = torch.zeros((), dtype=torch.float64)
    for choices in itertools.product((0.0, 1.0), repeat=PLACES):
        alpha = torch.tensor(choices, dtype=torch.float64)
        likelihood = torch.where(alpha == 1, p, 1 - p).prod()
        expected = expected + likelihood * ((skip.flatten() * alpha - target.flatten()) ** 2).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(expected, list(gate.parameters()))])


@pytest.mark.parametrize("steps", [0, 3])
def test_the_expectation_of_the_reinforce_gradient_is_the_exact_gradient(steps, monkeypatch):
    """Every outcome is drawn once and weighted by its likelihood; a baseline changes nothing."""
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    loss = HardAttentionLoss(SquaredError(), gate)
    for _ in range(steps):
        gated, _ = gate(skip, gating)
        loss(gated, target)
    assert (loss.baseline > 0) == (steps > 0)
    monkeypatch.setattr(loss, "_count", lambda loss: None)
    total = torch.zeros_like(exact_gradient(gate, skip, gating, target))
    for choices in itertools.product((0.0, 1.0), repeat=PLACES):
        alpha = torch.tensor(choices).reshape(1, 1, 2, 2)
        monkeypatch.setattr(
            torch.distributions.Bernoulli, "sample", lambda self, alpha=alpha: alpha
        )
        gated, attention = gate(skip, gating)
        assert torch.equal(attention, alpha.double())
        value = loss(gated, target)
        gradient = torch.autograd.grad(value, list(gate.parameters()))
        likelihood = gate.drawn.log_probability.exp().detach()
        total += likelihood * torch.cat([g.flatten() for g in gradient])
    expected = exact_gradient(gate, skip, gating, target)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(total, expected, atol=1e-5, rtol=1e-5)


def test_drawn_at_random_the_reinforce_gradient_tends_to_the_exact_one():
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    many = 20000
    skip, gating, target = (x.expand(many, -1, -1, -1) for x in (skip, gating, target))
    gated, _ = gate(skip, gating)
    cases = ((gated - target) ** 2).sum((1, 2, 3))
    value = (cases.detach() * gate.drawn.log_probability).mean()
    found = torch.cat([g.flatten() for g in torch.autograd.grad(value, list(gate.parameters()))])
    expected = exact_gradient(gate, skip[:1], gating[:1], target[:1])
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_the_baseline_is_the_mean_of_earlier_losses():
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    loss = HardAttentionLoss(torch.nn.MSELoss(), gate, momentum=0.5)
    assert loss.baseline == 0
    seen = []
    for scale in (1.0, 2.0):
        gated, _ = gate(skip, gating)
        seen.append(float(torch.nn.functional.mse_loss(gated, scale * target)))
        loss(gated, scale * target)
    assert float(loss.baseline) == pytest.approx((0.25 * seen[0] + 0.5 * seen[1]) / 0.75)


def test_a_case_is_rewarded_for_its_own_loss():
    """Two cases with the same choices: only the one that did worse than the other is made unlikelier."""
    gate = tiny_gate("reinforce")
    skip, gating, _ = tiny_batch()
    skip, gating = skip.repeat(2, 1, 1, 1), gating.repeat(2, 1, 1, 1)
    gated, _ = gate(skip, gating)
    label = torch.stack([gated[0].detach(), gated[1].detach() + 10.0])
    loss = HardAttentionLoss(torch.nn.MSELoss(), gate)
    total = loss(gated, label)
    log_probability = gate.drawn.log_probability
    (by_log,) = torch.autograd.grad(total, log_probability, retain_graph=True)
    assert by_log[0] == 0
    assert by_log[1] == pytest.approx(100.0 / 2)


def test_a_budget_pulls_the_selected_fraction_towards_it():
    gate = tiny_gate("straight_through", budget=0.25)
    skip, gating, target = tiny_batch()
    loss = HardAttentionLoss(torch.nn.MSELoss(), gate, budget_weight=100.0)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.1)
    for _ in range(100):
        gated, _ = gate(skip, gating)
        optimizer.zero_grad()
        loss(gated, target).backward()
        optimizer.step()
    gate(skip, gating)
    assert float(gate.drawn.selected.detach()) == pytest.approx(0.25, abs=0.05)


def test_an_entropy_bonus_keeps_a_gate_undecided():
    gate = tiny_gate("straight_through")
    skip, gating, target = tiny_batch()
    gated, _ = gate(skip, gating)
    plain = HardAttentionLoss(torch.nn.MSELoss(), gate)(gated, target)
    bonus = HardAttentionLoss(torch.nn.MSELoss(), gate, entropy_bonus=2.0)(gated, target)
    p = torch.sigmoid(gate.logits(skip, gating))
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
    assert (plain - bonus).item() == pytest.approx(2 * entropy.item(), rel=1e-5)


def test_without_choices_that_count_it_is_the_segmentation_loss():
    """A mean over cases, each of its own: what MONAI's loss of the batch is."""
    torch.manual_seed(0)
    net = AttentionUNet(
        2, 1, 3, channels=(4, 8, 8), strides=(2, 2), gate="hard", deep_supervision=1
    )
    label = torch.randint(0, 3, (2, 1, 16, 16)).float()
    plain = DeepSupervisionLoss(DiceCELoss(to_onehot_y=True, softmax=True, batch=False))
    logits = net.train()(torch.randn(2, 1, 16, 16))
    assert HardAttentionLoss(plain, net)(logits, label).item() == pytest.approx(
        plain(logits, label).item(), rel=1e-5
    )


def test_a_network_without_hard_gates_and_one_that_drew_nothing_are_named():
    soft = SoftGate(2, 1, 1, 1)
    with pytest.raises(ValueError, match="no hard gate; set network_def#gate to 'hard'"):
        HardAttentionLoss(torch.nn.MSELoss(), soft)
    gate = tiny_gate("reinforce").eval()
    skip, gating, target = tiny_batch()
    gated, _ = gate(skip, gating)
    with pytest.raises(RuntimeError, match="drew nothing for this batch"):
        HardAttentionLoss(torch.nn.MSELoss(), gate)(gated, target)
    with pytest.raises(ValueError, match=r"momentum \(=1.0\) must be at least 0 and below 1"):
        HardAttentionLoss(torch.nn.MSELoss(), gate, momentum=1.0)


def marked_blobs(count):
    """Four identical blobs in an image, one of them marked: by the coarse signal of its quarter."""
    blob = torch.zeros(1, 1, 16, 16)
    blob[..., 3:5, 3:5] = 1.0
    blobs = sum(blob.roll((y, x), (2, 3)) for y in (0, 8) for x in (0, 8))
    marked = torch.randint(0, 4, (count,))
    gating = torch.zeros(count, 1, 8, 8)
    target = torch.zeros(count, 1, 16, 16)
    for i, quarter in enumerate(marked.tolist()):
        y, x = divmod(quarter, 2)
        gating[i, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = 1.0
        target[i] = blob.roll((8 * y, 8 * x), (2, 3))
    return blobs.repeat(count, 1, 1, 1), gating, target


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
def test_a_gate_learns_which_of_identical_blobs_the_context_marks(estimator):
    torch.manual_seed(0)
    gate = HardGate(2, 1, 1, 8, estimator=estimator)
    loss = HardAttentionLoss(SquaredError(), gate, entropy_bonus=0.01)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.05)
    for _ in range(150):
        skip, gating, target = marked_blobs(8)
        gated, _ = gate(skip, gating)
        optimizer.zero_grad()
        loss(gated, target).backward()
        optimizer.step()
    skip, gating, target = marked_blobs(64)
    gated, attention = gate.eval()(skip, gating)
    assert set(attention.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(gated, target)
