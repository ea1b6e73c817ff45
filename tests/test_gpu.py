"""What only a GPU can show; skipped, saying so, where there is none."""

import json

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from monai_attn.bundle.open import open_bundle
from monai_attn.inference.inferer import AttentionWindowInferer
from tests.benchmarks.gpu_trace import device_events

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


def test_the_scan_is_not_copied_back(scan, tiny_bundle, tmp_path):
    """Only labels, masks and single answers leave the GPU, and nothing as large as the scan in float32."""
    segmenter = open_bundle(tiny_bundle, "cuda", backend="eager").segmenter()
    segmenter(scan)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        grid = segmenter(scan).scan
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    sizes = [copy["args"]["bytes"] for copy in device_events(trace)["device to host"]]
    assert sizes
    assert max(sizes) < 4 * np.prod(grid.shape)


def test_a_budget_bounds_the_memory_of_the_gpu(scan, tiny_bundle):
    budget = 4 * 2**30
    bundle = open_bundle(tiny_bundle, "cuda", backend="eager", memory=budget)
    bundle.inferer.sw_batch_size = 100_000
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    plan = bundle.segmenter()(scan).plan
    assert plan.batch < 100_000
    assert torch.cuda.max_memory_reserved() <= budget


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
