from dataclasses import replace

import pytest

from monai_attn.inference.window_plan import WindowPlan, memory_need
from monai_attn.inference.windows import window_grid

GRID, ROI = (40, 20, 100), (16, 16, 16)


def plan(grid=GRID, roi=ROI, **options):
    windows = tuple(window_grid(grid, roi, 0.5))
    return WindowPlan(grid, (0, 0, 0), roi, windows, len(windows), **options)


def test_slabs_follow_the_axis_that_makes_them_smallest():
    assert plan().on_thickest_axis().axis == 2
    assert plan((100, 20, 40)).on_thickest_axis().axis == 0


def test_there_is_a_slab_for_each_place_of_a_window():
    assert plan(axis=0).slabs == 4
    assert plan(axis=2).slabs == 12


def test_the_box_is_what_the_windows_cover_and_one_layer_more():
    few = WindowPlan(GRID, (0, 0, 0), ROI, plan().windows[:1], 9)
    assert few.box == (slice(0, 17), slice(0, 17), slice(0, 17))
    assert plan().box == tuple(slice(0, n) for n in GRID)


def test_memory_follows_the_slab_and_not_the_volume():
    short, long = plan((40, 20, 100), axis=2), plan((40, 20, 1000), axis=2)
    assert short.stitch_bytes == long.stitch_bytes


@pytest.mark.parametrize(
    ("option", "part"), [("channels", "stitch_bytes"), ("batch", "window_bytes")]
)
def test_what_takes_more_memory(option, part):
    small, large = plan(**{option: 1}), plan(**{option: 3})
    assert getattr(large, part) == pytest.approx(
        {"channels": 2, "batch": 3}[option] * getattr(small, part)
    )


def test_the_need_of_a_scan():
    """float32 voxels, then the network's image beside them, then the image, bytes to keep and a window."""
    running = plan().stitch_bytes + plan().window_bytes
    need = memory_need((100, 100, 100), GRID, plan(), volumes=3)
    image = 4 * 40 * 20 * 100
    assert (need.read, need.prepare) == (4_000_000, 4_000_000 + image)
    assert need.windows == image + 3_000_000 + running
    assert need.peak == max(need.read, need.prepare, need.windows)


def test_the_need_of_a_scan_smaller_than_a_window_holds_its_padded_copy():
    grid, wide = (40, 20, 100), replace(plan(), roi_size=(64, 64, 1))
    need = memory_need((10, 10, 10), grid, wide)
    running = wide.stitch_bytes + wide.window_bytes
    assert need.windows == 4 * (40 * 20 * 100 + 64 * 64 * 100) + 1000 + running
