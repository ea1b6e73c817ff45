"""The loop over windows on a device whose tensors have no values, so that nothing can be asked of them."""

import pytest
import torch

from monai_attn.inference.stitch import stitch
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.inference.windows import window_grid

ROI, GRID = (8, 8, 8), (16, 12, 20)


@pytest.fixture
def no_copies(monkeypatch):
    """Tensors made of lists are refused: on a GPU they are copies from the host, which wait."""

    def refuse(*args, **kwargs):
        raise AssertionError("a tensor made of values on the host")

    monkeypatch.setattr(torch.Tensor, "new_tensor", refuse)
    monkeypatch.setattr(torch, "tensor", refuse)
    monkeypatch.setattr(torch, "as_tensor", refuse)


@pytest.mark.slow  # torch loads the shapes of all its operations
@pytest.mark.usefixtures("no_copies")
def test_windows_and_sums_ask_the_device_for_nothing():
    windows = tuple(window_grid(GRID, ROI, 0.5))
    plan = WindowPlan(GRID, (0, 0, 0), ROI, windows, len(windows), batch=2)
    image, weight = (torch.ones(size, device="meta") for size in ((1, *GRID), ROI))
    slabs = list(stitch(image, lambda x: torch.cat([x, -x], dim=1), plan, weight))
    assert len(slabs) == plan.slabs
    assert {slab.logits.device.type for slab in slabs} == {"meta"}
