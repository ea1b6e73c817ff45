"""What only a GPU can show; skipped, saying so, where there is none."""

import numpy as np
import pytest
import torch

from monai_attn.bundle.open import open_bundle
from monai_attn.inference.inferer import AttentionWindowInferer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine"),
]


@pytest.fixture
def scan(phantoms):
    return sorted((phantoms / "imagesTr").iterdir())[0]


@pytest.mark.parametrize("mode", ["full", "focus"])
def test_the_labels_are_those_of_the_cpu(scan, tiny_bundle, mode):
    labels = [
        open_bundle(tiny_bundle, device, mode=mode, backend="eager", precision="float32")
        .segmenter()(scan)
        .labels
        for device in ("cpu", "cuda")
    ]
    assert (labels[0] == labels[1]).mean() > 0.9999


def test_preprocessing_runs_on_the_gpu(scan, tiny_bundle):
    seen = []
    bundle = open_bundle(tiny_bundle, "cuda", backend="eager")
    plan = bundle.inferer.plan

    def spy(image, channels):
        seen.append(image.device.type)
        return plan(image, channels)

    bundle.inferer.plan = spy
    bundle.segmenter()(scan)
    assert seen == ["cuda"]


def test_nothing_waits_between_windows():
    """Cutting, running and summing windows asks the GPU for no answer."""
    image = torch.rand(1, 1, 48, 24, 24, device="cuda")
    inferer = AttentionWindowInferer((16, 16, 16), overlap=0.5, mode="gaussian")
    plan = inferer.plan(image)
    slabs = inferer.slabs(image[0], lambda x: torch.cat([x, -x], 1), plan)
    torch.cuda.set_sync_debug_mode("error")
    try:
        count = len(list(slabs))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert count == plan.slabs


def test_sums_move_to_the_cpu_when_memory_ends():
    network, calls = torch.nn.Conv3d(1, 2, 3, padding=1).cuda().requires_grad_(False), []

    def scarce(x):
        calls.append(len(x))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("more wanted")
        return network(x)

    image = torch.rand(1, 1, 40, 24, 24, device="cuda")
    inferer = AttentionWindowInferer((16, 16, 16), sw_batch_size=4, overlap=0.5)
    out, expected = inferer(image, scarce), inferer(image, network)
    np.testing.assert_allclose(out.cpu(), expected.cpu(), atol=1e-5)
    assert set(calls[2:]) == {1}
