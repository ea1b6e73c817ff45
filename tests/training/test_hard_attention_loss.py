"""Hard gates are trained by what their formulas promise."""

import itertools

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss

from monai_attn import AttentionUNet, HardGate, SoftGate
from monai_attn.networks.gates import SampledOutput, hard_gates
from monai_attn.training.hard_attention_loss import HardAttentionLoss

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


def output_of(gate, skip, gating):
    """The output of a network that is only this gate, in training."""
    gated, _, draw = gate.sample(skip, gating)
    return SampledOutput(gated, (draw,))


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


def frozen(loss, monkeypatch, baseline):
    """The loss with a baseline that stays as it is."""
    loss.total.fill_(baseline * (1 - loss.momentum))
    loss.steps.fill_(1)
    monkeypatch.setattr(loss, "_count", lambda loss: None)
    return loss


def choose(monkeypatch, choices):
    """Have the gates draw these choices, in the order in which they draw."""
    rest = iter(choices)

    def noise(logits):
        alpha = torch.tensor([next(rest) for _ in range(logits.numel())]).view_as(logits)
        return 1e6 * (2 * alpha - 1)

    monkeypatch.setattr("monai_attn.networks.gates.logistic_like", noise)


@pytest.mark.parametrize("baseline", [0.0, 5.0])
def test_the_expectation_of_the_reinforce_gradient_is_the_exact_gradient(baseline, monkeypatch):
    """Every outcome is drawn once and weighted by its likelihood; a baseline changes nothing."""
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    loss = frozen(HardAttentionLoss(SquaredError(), gate), monkeypatch, baseline)
    assert loss.baseline == pytest.approx(baseline)
    total = torch.zeros_like(exact_gradient(gate, skip, gating, target))
    for choices in itertools.product((0.0, 1.0), repeat=PLACES):
        alpha = torch.tensor(choices).reshape(1, 1, 2, 2)
        choose(monkeypatch, choices)
        gated, attention, draw = gate.sample(skip, gating)
        assert torch.equal(attention, alpha.double())
        value = loss(SampledOutput(gated, (draw,)), target)
        gradient = torch.autograd.grad(value, list(gate.parameters()))
        likelihood = draw.log_probability.exp().detach()
        total += likelihood * torch.cat([g.flatten() for g in gradient])
    expected = exact_gradient(gate, skip, gating, target)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(total, expected, atol=1e-5, rtol=1e-5)


def test_for_a_network_of_two_gates_it_is_exact_for_every_parameter(monkeypatch):
    """The finer gate's probabilities depend on what the coarser one drew: 32 outcomes of five choices."""
    torch.manual_seed(0)
    net = AttentionUNet(
        2,
        1,
        2,
        channels=(2, 2, 2),
        strides=(2, 2),
        gate=("hard", {"estimator": "reinforce"}),
        gated_levels=(0, 1),
        norm=None,
    )
    net = net.double().train()
    for gate in hard_gates(net):
        torch.nn.init.normal_(gate.psi.weight)
        torch.nn.init.zeros_(gate.psi.bias)
    image = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    label = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    loss = frozen(HardAttentionLoss(SquaredError(), net), monkeypatch, 7.0)
    parameters = list(net.parameters())
    estimated = [torch.zeros_like(p) for p in parameters]
    exact = [torch.zeros_like(p) for p in parameters]
    certain = 0.0
    for choices in itertools.product((0.0, 1.0), repeat=5):
        choose(monkeypatch, choices)
        output = net(image)
        likelihood = sum(draw.log_probability for draw in output.draws).exp()
        certain += likelihood.item()
        for sums, value in (
            (estimated, likelihood.item() * loss(output, label)),
            (exact, likelihood * SquaredError()(output.logits, label)),
        ):
            gradients = torch.autograd.grad(value, parameters, retain_graph=True)
            for total, gradient in zip(sums, gradients, strict=True):
                total += gradient
    assert certain == pytest.approx(1)
    for found, expected in zip(estimated, exact, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_first_step_has_no_baseline_and_no_score():
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    loss = HardAttentionLoss(SquaredError(), gate)
    output = output_of(gate, skip, gating)
    plain = SquaredError()(output.logits, target)
    assert loss(output, target).item() == pytest.approx(plain.item())


def test_the_weight_of_the_score_is_a_factor(monkeypatch):
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    output = output_of(gate, skip, gating)
    plain, once, half = (
        frozen(HardAttentionLoss(SquaredError(), gate, score_weight=w), monkeypatch, 1.0)(
            output, target
        )
        for w in (0.0, 1.0, 0.5)
    )
    assert (once - plain).abs() > 0.1
    assert (half - plain).item() == pytest.approx((once - plain).item() / 2)


def test_drawn_at_random_the_reinforce_gradient_tends_to_the_exact_one():
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    many = 20000
    skip, gating, target = (x.expand(many, -1, -1, -1) for x in (skip, gating, target))
    gated, _, draw = gate.sample(skip, gating)
    cases = ((gated - target) ** 2).sum((1, 2, 3))
    value = (cases.detach() * draw.log_probability).mean()
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
        output = output_of(gate, skip, gating)
        seen.append(float(torch.nn.functional.mse_loss(output.logits, scale * target)))
        loss(output, scale * target)
    assert float(loss.baseline) == pytest.approx((0.25 * seen[0] + 0.5 * seen[1]) / 0.75)


def test_the_baseline_goes_on_where_a_training_was_cut_off():
    gate = tiny_gate("reinforce")
    skip, gating, target = tiny_batch()
    loss, other = (HardAttentionLoss(SquaredError(), gate) for _ in range(2))
    loss(output_of(gate, skip, gating), target)
    other.load_state_dict(loss.state_dict())
    assert other.baseline == loss.baseline > 0


def test_several_processes_have_one_baseline_and_one_budget(monkeypatch):
    """Here the other of two has no loss and selects nothing."""
    monkeypatch.setattr("ignite.distributed.all_reduce", lambda value: value)
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    gate = tiny_gate("straight_through", budget=0.25)
    skip, gating, target = tiny_batch()
    loss = HardAttentionLoss(SquaredError(), gate, budget_weight=3.0)
    output = output_of(gate, skip, gating)
    total, plain = loss(output, target), SquaredError()(output.logits, target)
    assert float(loss.baseline) == pytest.approx(plain.item() / 2)
    selected = output.draws[0].selected.mean()
    missed = selected.item() / 2 - 0.25
    assert (total - plain).item() == pytest.approx(3 * missed**2)
    # of its share, which all_reduce halves among the two
    (found,) = torch.autograd.grad(total - plain, gate.psi.bias, retain_graph=True)
    (slope,) = torch.autograd.grad(selected, gate.psi.bias)
    torch.testing.assert_close(found, 3 * 2 * missed * slope)


def test_a_case_is_rewarded_for_its_own_loss(monkeypatch):
    """Two cases with the same choices: only the one that did worse than the other is made unlikelier."""
    gate = tiny_gate("reinforce")
    skip, gating, _ = tiny_batch()
    skip, gating = skip.repeat(2, 1, 1, 1), gating.repeat(2, 1, 1, 1)
    output = output_of(gate, skip, gating)
    gated = output.logits.detach()
    label = torch.stack([gated[0], gated[1] + 10.0])
    loss = frozen(HardAttentionLoss(torch.nn.MSELoss(), gate), monkeypatch, 0.0)
    total = loss(output, label)
    log_probability = output.draws[0].log_probability
    (by_log,) = torch.autograd.grad(total, log_probability, retain_graph=True)
    assert by_log[0] == 0
    assert by_log[1] == pytest.approx(100.0 / 2)


def test_a_budget_pulls_the_selected_fraction_towards_it():
    gate = tiny_gate("straight_through", budget=0.25)
    skip, gating, target = tiny_batch()
    loss = HardAttentionLoss(torch.nn.MSELoss(), gate, budget_weight=100.0)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.1)
    for _ in range(100):
        output = output_of(gate, skip, gating)
        optimizer.zero_grad()
        loss(output, target).backward()
        optimizer.step()
    (draw,) = output_of(gate, skip, gating).draws
    assert float(draw.selected.detach()) == pytest.approx(0.25, abs=0.05)


def test_a_budget_is_of_all_cases_of_a_batch_together():
    gate = tiny_gate("straight_through", budget=0.25)
    skip, gating, _ = tiny_batch()
    skip, gating = torch.cat([skip, 3 * skip]), torch.cat([gating, -3 * gating])
    output = output_of(gate, skip, gating)
    selected = output.draws[0].selected
    assert (selected[0] - selected[1]).abs() > 0.02
    total = HardAttentionLoss(torch.nn.MSELoss(), gate)(output, output.logits.detach())
    assert total.item() == pytest.approx(10 * (selected.mean().item() - 0.25) ** 2, rel=1e-5)


def test_an_entropy_bonus_is_of_the_mean_of_the_gates():
    torch.manual_seed(0)
    net = AttentionUNet(
        2, 1, 2, channels=(4, 4, 4), strides=(2, 2), gate="hard", gated_levels=(0, 1)
    )
    output, label = net.train()(torch.randn(2, 1, 8, 8)), torch.randn(2, 2, 8, 8)
    plain = HardAttentionLoss(torch.nn.MSELoss(), net)(output, label)
    bonus = HardAttentionLoss(torch.nn.MSELoss(), net, entropy_bonus=2.0)(output, label)
    entropy = torch.stack([draw.entropy for draw in output.draws]).mean()
    assert (plain - bonus).item() == pytest.approx(2 * entropy.item(), rel=1e-4)


def test_an_entropy_bonus_keeps_a_gate_undecided():
    gate = tiny_gate("straight_through")
    skip, gating, target = tiny_batch()
    output = output_of(gate, skip, gating)
    plain = HardAttentionLoss(torch.nn.MSELoss(), gate)(output, target)
    bonus = HardAttentionLoss(torch.nn.MSELoss(), gate, entropy_bonus=2.0)(output, target)
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
    output = net.train()(torch.randn(2, 1, 16, 16))
    assert HardAttentionLoss(plain, net)(output, label).item() == pytest.approx(
        plain(output.logits, label).item(), rel=1e-5
    )


def test_a_network_without_hard_gates_and_one_that_drew_nothing_are_named():
    soft = SoftGate(2, 1, 1, 1)
    with pytest.raises(ValueError, match="the network has no hard gate"):
        HardAttentionLoss(torch.nn.MSELoss(), soft)
    gate = tiny_gate("reinforce").eval()
    skip, gating, target = tiny_batch()
    gated, _ = gate(skip, gating)
    with pytest.raises(RuntimeError, match="drew nothing for this batch"):
        HardAttentionLoss(torch.nn.MSELoss(), gate)(gated, target)
    other = output_of(gate.train(), skip.repeat(2, 1, 1, 1), gating.repeat(2, 1, 1, 1))
    for output in (SampledOutput(gated, other.draws), SampledOutput(gated, ())):
        with pytest.raises(RuntimeError, match="drew nothing for this batch"):
            HardAttentionLoss(torch.nn.MSELoss(), gate)(output, target)
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
        output = output_of(gate, skip, gating)
        optimizer.zero_grad()
        loss(output, target).backward()
        optimizer.step()
    skip, gating, target = marked_blobs(64)
    gated, attention = gate.eval()(skip, gating)
    assert set(attention.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(gated, target)
