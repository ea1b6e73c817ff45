"""The gates equal their formulas."""

import copy

import numpy as np
import pytest
import torch

from monai_attn.networks.blocks import resize
from monai_attn.networks.gates import HardGate, SoftGate, build_gate, hard_gates

# spatial size of the skip and of the gating signal, ratio between them
GRIDS = {
    "2d even": ((12, 8), (6, 4), 2),
    "2d odd": ((13, 9), (7, 5), 2),
    "2d one ratio per axis": ((12, 7), (3, 7), (4, 1)),
    "3d even": ((8, 6, 4), (4, 3, 2), 2),
    "3d odd": ((9, 7, 5), (5, 4, 3), 2),
    "3d anisotropic": ((9, 7, 5), (5, 4, 5), (2, 2, 1)),
}


def linear_matrix(before: int, after: int) -> np.ndarray:
    """Linear interpolation along one axis: output i looks at (i + 1/2) * before / after - 1/2, clamped."""
    matrix = np.zeros((after, before))
    for i in range(after):
        position = min(max((i + 0.5) * before / after - 0.5, 0.0), before - 1.0)
        left = int(np.floor(position))
        right = min(left + 1, before - 1)
        matrix[i, left] += 1 - (position - left)
        matrix[i, right] += position - left
    return matrix


def resample(x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    for axis, count in enumerate(size, start=2):
        x = np.moveaxis(np.tensordot(linear_matrix(x.shape[axis], count), x, (1, axis)), 0, axis)
    return x


def pointwise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    kernel = weight.reshape(weight.shape[:2])
    return np.einsum("oc,bc...->bo...", kernel, x) + bias.reshape(1, -1, *[1] * (x.ndim - 2))


def strided(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A convolution whose kernel is its stride: each output voxel sees one block of the input."""
    kernel = weight.shape[2:]
    size = tuple(n // k for n, k in zip(x.shape[2:], kernel, strict=True))
    out = np.zeros((x.shape[0], weight.shape[0], *size))
    for index in np.ndindex(*size):
        block = tuple(slice(i * k, (i + 1) * k) for i, k in zip(index, kernel, strict=True))
        axes = list(range(1, x.ndim))
        out[(slice(None), slice(None), *index)] = np.tensordot(
            x[(slice(None), slice(None), *block)], weight, (axes, axes)
        )
    return out


def formula(gate: SoftGate, skip: np.ndarray, gating: np.ndarray, grid: str) -> np.ndarray:
    """alpha = sigmoid(psi(relu(W_x x + W_g g + b_g)) + b_psi), in float64, from the paper's equations."""
    weights = {name: value.double().numpy() for name, value in gate.state_dict().items()}
    theta = strided(skip, weights["W_x.weight"])
    phi = pointwise(resample(gating, theta.shape[2:]), weights["W_g.weight"], weights["W_g.bias"])
    logits = pointwise(np.maximum(theta + phi, 0), weights["psi.weight"], weights["psi.bias"])
    alpha = 1 / (1 + np.exp(-logits))
    return resample(alpha, skip.shape[2:]) if grid == "gating" else alpha


@pytest.mark.parametrize("grid", ["gating", "skip"])
@pytest.mark.parametrize("case", GRIDS)
def test_a_gate_equals_its_formula(case, grid):
    size, coarse, ratio = GRIDS[case]
    gate = SoftGate(len(size), 3, 5, 4, grid=grid, ratio=ratio).eval()
    torch.nn.init.normal_(
        gate.psi.weight, std=2.0
    )  # attention that varies, to have something to compare
    torch.nn.init.zeros_(gate.psi.bias)
    skip, gating = torch.randn(2, 3, *size), torch.randn(2, 5, *coarse)
    expected = formula(gate, skip.double().numpy(), gating.double().numpy(), grid)
    with torch.no_grad():
        gated, attention = gate(skip, gating)
    assert np.ptp(expected) > 0.2
    assert np.abs(attention.numpy() - expected).max() < 1e-5
    assert np.abs(gated.numpy() - skip.numpy() * expected).max() < 1e-5


def test_the_worked_example():
    gate = SoftGate(2, skip_channels=64, gating_channels=128, inter_channels=32)
    gated, attention = gate(torch.rand(2, 64, 128, 128), torch.rand(2, 128, 64, 64))
    assert gated.shape == (2, 64, 128, 128)
    assert attention.shape == (2, 1, 128, 128)
    assert gate.W_x.out_channels == gate.W_g.out_channels == gate.psi.in_channels == 32


@pytest.mark.parametrize("grid", ["gating", "skip"])
@pytest.mark.parametrize(("bias", "kept"), [(100.0, 1.0), (-200.0, 0.0)])
def test_attention_of_ones_leaves_the_skip_and_of_zeros_removes_it(grid, bias, kept):
    gate = SoftGate(3, 2, 4, 2, grid=grid)
    torch.nn.init.zeros_(gate.psi.weight)
    torch.nn.init.constant_(gate.psi.bias, bias)
    skip = torch.randn(1, 2, 9, 7, 5)
    gated, attention = gate(skip, torch.randn(1, 4, 5, 4, 3))
    assert torch.equal(gated, skip * kept)
    assert torch.equal(attention, torch.full_like(attention, kept))


@pytest.mark.parametrize("size", [(12, 10), (13, 9), (8, 7, 5)])
def test_W_g_before_the_upsampling_equals_W_g_after_it(size):
    gate = SoftGate(len(size), 2, 6, 3, grid="skip")
    gating = torch.randn(2, 6, *[-(-n // 2) for n in size])
    like = torch.empty(1, 1, *size)
    before, after = resize(gate.W_g(gating), like=like), gate.W_g(resize(gating, like=like))
    torch.testing.assert_close(before, after, atol=1e-5, rtol=0)


@pytest.mark.parametrize("grid", ["gating", "skip"])
def test_a_new_gate_passes_nearly_everything_through(grid):
    torch.manual_seed(0)
    gate = SoftGate(3, 16, 32, 8, grid=grid)
    _, attention = gate(torch.rand(1, 16, 16, 16, 16), torch.rand(1, 32, 8, 8, 8))
    assert attention.min() > 0.9
    assert abs(attention.mean() - 0.95) < 0.03


def test_attention_follows_the_gating_signal():
    """Additive attention: where the gating says no, the same skip is closed."""
    gate = SoftGate(2, 1, 1, 1, grid="skip")
    for parameter in gate.parameters():
        torch.nn.init.constant_(parameter, 0.0)
    torch.nn.init.constant_(gate.W_g.weight, 1.0)
    torch.nn.init.constant_(gate.psi.weight, 50.0)
    torch.nn.init.constant_(gate.psi.bias, -25.0)
    gating = torch.zeros(1, 1, 4, 4)
    gating[..., 2:] = 1.0
    _, attention = gate(torch.ones(1, 1, 8, 8), gating)
    assert attention[..., :2].max() < 1e-6
    assert attention[..., -2:].min() > 1 - 1e-6


def test_a_skip_smaller_than_the_ratio_still_works():
    gated, attention = SoftGate(3, 2, 4, 1)(torch.rand(1, 2, 1, 3, 1), torch.rand(1, 4, 1, 2, 1))
    assert gated.shape == (1, 2, 1, 3, 1)
    assert attention.shape == (1, 1, 1, 3, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 1}, r"spatial_dims \(=1\) must be 2 or 3"),
        ({"grid": "fine"}, r"grid \(='fine'\) must be 'gating' or 'skip'"),
        ({"skip_channels": 0}, r"skip_channels \(=0\) must be a positive integer"),
        ({"gating_channels": -4}, r"gating_channels \(=-4\) must be a positive integer"),
        ({"inter_channels": 1.5}, r"inter_channels \(=1.5\) must be a positive integer"),
        ({"ratio": (2, 2, 2)}, r"ratio \(=\(2, 2, 2\)\) must be one integer or 2"),
        ({"ratio": 0}, r"ratio \(=0\) must be a positive integer"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    good = {"spatial_dims": 2, "skip_channels": 4, "gating_channels": 8, "inter_channels": 2}
    with pytest.raises(ValueError, match=message):
        SoftGate(**{**good, **arguments})


def test_a_gate_is_named_as_monai_names_its_layers():
    gate = build_gate(("soft", {"grid": "skip", "inter_channels": 7}), 3, 16, 32, (2, 2, 1))
    assert (gate.on_gating_grid, gate.psi.in_channels) == (False, 7)
    assert build_gate("soft", 3, 16, 32, (2, 2, 1)).W_x.stride == (2, 2, 1)
    hard = build_gate(("hard", {"estimator": "reinforce", "budget": 0.3}), 3, 16, 32, (2, 2, 1))
    assert (type(hard), hard.estimator, hard.budget) == (HardGate, "reinforce", 0.3)
    with pytest.raises(
        ValueError, match=r"gate \(='loud'\) must be None or one of \['hard', 'soft'\]"
    ):
        build_gate("loud", 3, 16, 32, (2, 2, 2))
    with pytest.raises(ValueError, match=r"has an option that it does not take: .*'colour'"):
        build_gate(("soft", {"colour": "red"}), 3, 16, 32, (2, 2, 2))


# --- hard gates


def undecided(spatial_dims, **options):
    """A hard gate whose probabilities vary around a half."""
    gate = HardGate(spatial_dims, 3, 5, 4, **options)
    with torch.no_grad():
        gate.psi.weight.copy_(torch.tensor([3.0, -3.0, 2.0, -2.0]).view_as(gate.psi.weight))
    torch.nn.init.zeros_(gate.psi.bias)
    return gate


@pytest.mark.parametrize("grid", ["gating", "skip"])
@pytest.mark.parametrize("case", GRIDS)
def test_in_eval_a_hard_gate_selects_where_its_probability_is_above_a_half(case, grid):
    size, coarse, ratio = GRIDS[case]
    torch.manual_seed(0)
    gate = undecided(len(size), grid=grid, ratio=ratio).eval()
    skip, gating = torch.randn(2, 3, *size), torch.randn(2, 5, *coarse)
    weights = {name: value.double().numpy() for name, value in gate.state_dict().items()}
    theta = strided(skip.double().numpy(), weights["W_x.weight"])
    phi = resample(gating.double().numpy(), theta.shape[2:])
    phi = pointwise(phi, weights["W_g.weight"], weights["W_g.bias"])
    logits = pointwise(np.maximum(theta + phi, 0), weights["psi.weight"], weights["psi.bias"])
    expected = (logits > 0).astype(np.float64)
    for axis, fine in enumerate(size, start=2):
        index = [i * expected.shape[axis] // fine for i in range(fine)]
        expected = expected.take(index, axis=axis)
    gated, attention = gate(skip, gating)
    assert 0 < expected.mean() < 1
    assert np.array_equal(attention.numpy(), expected)
    assert torch.equal(gated, skip * attention)
    assert all(torch.equal(attention, gate(skip, gating)[1]) for _ in range(3))


def test_on_the_gating_grid_a_choice_holds_for_the_voxels_it_covers():
    torch.manual_seed(0)
    gate = undecided(3, ratio=(2, 2, 1)).eval()
    _, attention = gate(torch.randn(1, 3, 8, 6, 4), torch.randn(1, 5, 4, 3, 4))
    coarse = attention[:, :, ::2, ::2]
    assert 0 < coarse.mean() < 1
    for x, y in ((0, 1), (1, 0), (1, 1)):
        assert torch.equal(attention[:, :, x::2, y::2], coarse)


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_in_training_a_hard_gate_draws_by_its_probability(estimator, temperature):
    torch.manual_seed(0)
    gate = undecided(2, grid="skip", estimator=estimator, temperature=temperature).train()
    skip, gating = torch.randn(1, 3, 2, 3), torch.randn(1, 5, 1, 2)
    p = torch.sigmoid(gate.logits(skip, gating))
    many = 4000
    _, attention = gate(skip.expand(many, -1, -1, -1), gating.expand(many, -1, -1, -1))
    assert set(attention.unique().tolist()) == {0.0, 1.0}
    assert (attention.mean(0, keepdim=True) - p).abs().max() < 4 * 0.5 / many**0.5


def test_what_was_drawn_has_its_probability():
    torch.manual_seed(0)
    gate = undecided(2, grid="skip", estimator="reinforce").train()
    skip, gating = torch.randn(2, 3, 4, 3), torch.randn(2, 5, 2, 2)
    _, attention, draw = gate.sample(skip, gating)
    p = torch.sigmoid(gate.logits(skip, gating))
    likelihood = torch.where(attention == 1, p, 1 - p)
    torch.testing.assert_close(draw.log_probability, likelihood.log().sum((1, 2, 3)))
    torch.testing.assert_close(draw.selected, p.mean((1, 2, 3)))


def test_in_training_a_call_returns_what_a_sample_does_without_the_draw():
    gate = undecided(2).train()
    skip, gating = torch.randn(1, 3, 8, 8), torch.randn(1, 5, 4, 4)
    torch.manual_seed(0)
    called = gate(skip, gating)
    torch.manual_seed(0)
    for one, other in zip(called, gate.sample(skip, gating)[:2], strict=True):
        assert torch.equal(one, other)


def test_straight_through_lets_the_gradient_of_the_concrete_distribution_through():
    gate = undecided(2, grid="skip", temperature=0.5).train()
    skip, gating = torch.randn(1, 3, 4, 3), torch.randn(1, 5, 2, 2)
    torch.manual_seed(3)
    _, attention = gate(skip, gating)
    found = torch.autograd.grad(attention.sum(), gate.psi.weight)[0]
    torch.manual_seed(3)
    logits = gate.logits(skip, gating)
    uniform = torch.distributions.utils.clamp_probs(torch.rand_like(logits))
    concrete = torch.sigmoid((logits + uniform.log() - (-uniform).log1p()) / 0.5)
    assert torch.equal(attention, (concrete > 0.5).float())
    expected = torch.autograd.grad(concrete.sum(), gate.psi.weight)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_a_choice_is_one_and_its_probability_is_float32(estimator, dtype):
    torch.manual_seed(0)
    gate = undecided(2, estimator=estimator).train()
    with torch.autocast("cpu", dtype=dtype):
        _, attention, draw = gate.sample(torch.randn(1, 3, 8, 8), torch.randn(1, 5, 4, 4))
    assert set(attention.unique().tolist()) == {0.0, 1.0}
    assert {value.dtype for value in draw} == {torch.float32}


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
def test_logits_that_are_no_numbers_reach_the_loss(estimator):
    """There training ends with a line that says so; a draw that fails would say less."""
    gate = undecided(2, estimator=estimator).train()
    _, _, draw = gate.sample(torch.full((1, 3, 4, 4), torch.nan), torch.randn(1, 5, 2, 2))
    assert draw.log_probability.isnan().all()


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
def test_a_gate_that_has_drawn_can_be_copied(estimator):
    gate = undecided(2, estimator=estimator).train()
    before = set(vars(gate))
    gate(torch.randn(1, 3, 4, 4), torch.randn(1, 5, 2, 2))
    assert set(vars(gate)) == before, "a draw is returned, not kept"
    other = copy.deepcopy(gate)
    assert other.estimator == estimator
    assert torch.equal(other.psi.weight, gate.psi.weight)


def test_reinforce_lets_no_gradient_through_the_choice():
    gate = undecided(2, grid="skip", estimator="reinforce").train()
    gated, attention = gate(torch.randn(1, 3, 4, 3), torch.randn(1, 5, 2, 2))
    assert not attention.requires_grad
    assert not gated.requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": "guess"}, r"estimator \(='guess'\) must be one of"),
        ({"temperature": 0.0}, r"temperature \(=0.0\) must be above 0"),
        ({"budget": 1.5}, r"budget \(=1.5\) must be above 0 and below 1"),
        ({"grid": "fine"}, r"grid \(='fine'\) must be 'gating' or 'skip'"),
    ],
)
def test_a_wrong_argument_of_a_hard_gate_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        HardGate(2, 4, 8, 2, **arguments)


def test_the_hard_gates_of_a_network_are_found():
    gates = torch.nn.ModuleList([SoftGate(2, 1, 1, 1), HardGate(2, 1, 1, 1)])
    assert hard_gates(gates) == [gates[1]]
