"""The memory that a scan needs on the host and on a GPU, which is only made up here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_attn.inference import scan_memory as module
from monai_attn.inference.scan_memory import ScanMemory
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.inference.windows import window_grid
from monai_attn.io.errors import OptionError
from monai_attn.io.grid import Grid

SHAPE, GRID, ROI = (100, 100, 50), (50, 50, 50), (16, 16, 16)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SCAN = Grid(SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]), 1, Path("scan.nii.gz"))
MIB = 2**20
HOST, WEIGHTS = 1000 * MIB, 30 * MIB


@pytest.fixture(autouse=True)
def held(monkeypatch):
    """A process that holds some memory of the host, and weights on the GPU."""
    monkeypatch.setattr(module, "used_memory", lambda: HOST)
    monkeypatch.setattr(module, "used_device_memory", lambda device: WEIGHTS)


def plan(batch=1):
    windows = tuple(window_grid(GRID, ROI, 0.5))
    return WindowPlan(GRID, (0, 0, 0), ROI, windows, len(windows), batch=batch)


def budget(memory=None, device="cuda"):
    return ScanMemory(torch.device(device), memory, stitched=2, kept=1)


def test_a_gpu_holds_the_scan_then_the_image_and_the_windows():
    image, voxels = 4 * 50**3, 4 * 100 * 100 * 50
    large = plan(100)
    few = replace(large, batch=1, windows=large.windows[:1])
    assert budget().device_need(SCAN, AFFINE, replace(few, roi_size=(8, 8, 8))) == voxels + image
    running = large.stitch_bytes + large.window_bytes
    assert budget().device_need(SCAN, AFFINE, large) == image + running


def test_the_locator_counts_on_a_gpu():
    assert budget().device_need(SCAN, AFFINE, plan(), 100 * MIB) == 4 * 50**3 + 100 * MIB


def test_a_cpu_needs_no_memory_of_a_gpu():
    assert budget(device="cpu").device_need(SCAN, AFFINE, plan()) == 0


def test_a_budget_makes_batches_on_a_gpu_smaller():
    asked = plan(batch=64)
    allowed = WEIGHTS + 4 * 50**3 + asked.stitch_bytes + asked.window_bytes // 4
    fitted = budget(allowed).fit(asked, SCAN)
    assert fitted.batch == 16
    assert budget(allowed).device_need(SCAN, AFFINE, fitted) + WEIGHTS <= allowed


def test_without_a_budget_batches_on_a_gpu_stay():
    assert budget().fit(plan(batch=64), SCAN).batch == 64


CASES = [
    # host need, GPU need, allowed, words of the error
    (10, 10, 1100, None),
    (200, 10, 1100, "takes 1.2 GiB of memory (allowed: 1.1 GiB)"),
    (10, 1100, 1050, "takes 1.1 GiB of memory of the GPU (allowed: 1.0 GiB)"),
]


@pytest.mark.parametrize(("need", "device_need", "allowed", "words"), CASES)
def test_a_scan_that_does_not_fit_is_refused(need, device_need, allowed, words):
    ours = budget(allowed * MIB)
    if words is None:
        ours.check(SCAN, need * MIB, device_need * MIB)
        return
    with pytest.raises(OptionError) as error:
        ours.check(SCAN, need * MIB, device_need * MIB)
    assert str(error.value).startswith(f"scan.nii.gz: {words}")


def test_the_amount_in_an_error_is_enough_for_host_and_gpu():
    with pytest.raises(OptionError) as error:
        budget(500 * MIB).check(SCAN, 0, 3000 * MIB)
    assert error.value.value == "3.1GiB"


def test_without_a_budget_the_gpu_refuses_nothing():
    budget().check(replace(SCAN), 0, 2**50)
