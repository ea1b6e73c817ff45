"""The loop over windows: its sums keep their memory, and ask a device for nothing."""

import pytest
import torch

from monai_attn.inference import stitch as module
from monai_attn.inference.stitch import stitch
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.inference.windows import window_grid

ROI, GRID = (8, 8, 8), (16, 12, 20)
LAYERS = module._Sums._layers


@pytest.fixture
def no_copies(monkeypatch):
    """Tensors made of lists are refused: on a GPU they are copies from the host, which wait."""

    def refuse(*args, **kwargs):
        raise AssertionError("a tensor made of values on the host")

    monkeypatch.setattr(torch.Tensor, "new_tensor", refuse)
    monkeypatch.setattr(torch, "tensor", refuse)
    monkeypatch.setattr(torch, "as_tensor", refuse)


# a device whose tensors have no values
@pytest.mark.slow  # torch loads the shapes of all its operations
@pytest.mark.usefixtures("no_copies")
def test_windows_and_sums_ask_the_device_for_nothing():
    windows = tuple(window_grid(GRID, ROI, 0.5))
    plan = WindowPlan(GRID, (0, 0, 0), ROI, windows, len(windows), batch=2)
    image, weight = (torch.ones(size, device="meta") for size in ((1, *GRID), ROI))
    slabs = list(stitch(image, lambda x: torch.cat([x, -x], dim=1), plan, weight))
    assert len(slabs) == plan.slabs
    assert {slab.logits.device.type for slab in slabs} == {"meta"}


def plan_of(length, depth=4, overlap=0.5, keep=lambda start: True):
    roi, grid = (depth, 3), (length, 3)
    every = window_grid(grid, roi, overlap)
    windows = tuple(w for w in every if keep(w[0].start))
    return WindowPlan(grid, (0, 0), roi, windows, len(every))


def network(windows):
    return torch.cat([-windows, windows], dim=1)


def run(plan):
    image = torch.rand(1, *plan.grid, generator=torch.Generator().manual_seed(0))
    return image, [*stitch(image, network, plan, torch.ones(plan.roi_size))]


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.75])
def test_slabs_hold_the_mean_of_the_windows(overlap):
    image, slabs = run(plan_of(21, overlap=overlap))
    found = torch.cat([slab.logits for slab in slabs], dim=1)
    torch.testing.assert_close(found, network(image[None])[0])


def test_the_sums_take_memory_once_however_many_slabs_there_are(monkeypatch):
    taken = []
    monkeypatch.setattr(
        module._Sums, "_layers", lambda self, *size: taken.append(size) or LAYERS(self, *size)
    )
    _, slabs = run(plan_of(41))
    assert len(slabs) > 15
    assert len(taken) == 2  # the weights and the logits


def test_where_no_window_ran_is_background_between_two_that_ran():
    plan = plan_of(41, keep=lambda start: not 8 < start < 30)
    image, slabs = run(plan)
    found = torch.cat([slab.logits for slab in slabs], dim=1)
    seen = torch.cat([slab.seen for slab in slabs], dim=1)[0]
    assert seen.any(dim=1).tolist() == [not 12 <= layer < 30 for layer in range(41)]
    torch.testing.assert_close(found[:, seen], network(image[None])[0][:, seen])
    assert found[:, ~seen].unique(dim=1).tolist() == [[20.0], [-20.0]]


def test_a_network_with_gradients_runs():
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    windows = tuple(window_grid(GRID, ROI, 0.5))
    plan = WindowPlan(GRID, (0, 0, 0), ROI, windows, len(windows))
    slabs = list(stitch(torch.rand(1, *GRID), network, plan, torch.ones(ROI)))
    assert all(slab.logits.requires_grad for slab in slabs)
