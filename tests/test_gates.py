"""The gates equal their formulas."""

import numpy as np
import pytest
import torch

from monai_attn.networks.blocks import resize
from monai_attn.networks.gates import SoftGate, build_gate

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
    with pytest.raises(ValueError, match=r"gate \(='loud'\) must be None or one of \['soft'\]"):
        build_gate("loud", 3, 16, 32, (2, 2, 2))
    with pytest.raises(ValueError, match=r"has an option that it does not take: .*'colour'"):
        build_gate(("soft", {"colour": "red"}), 3, 16, 32, (2, 2, 2))
