import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from monai_attn.inference.windows import window_grid

PAD = -1.0


def numbered(size):
    """An image (1, 1, *size) whose voxels are their index."""
    return torch.arange(float(np.prod(size))).reshape(1, 1, *size)


def padded(image, roi):
    """The image with a margin of PAD where it is smaller than the window, as `window_grid` counts."""
    margins = [max(0, r - n) for n, r in zip(image.shape[2:], roi, strict=True)]
    around = [side for m in reversed(margins) for side in (m // 2, m - m // 2)]
    return torch.nn.functional.pad(image, around, value=PAD)


def seen_by_monai(image, roi_size, overlap, sw_batch_size=1):
    """The windows that MONAI's inferer shows a network, one by one."""
    windows = []

    def network(batch):
        windows.extend(batch)
        return batch

    SlidingWindowInferer(roi_size, sw_batch_size, overlap, cval=PAD)(image, network)
    return windows


# size, roi size, overlap, windows
GRIDS = {
    "one window": ((6, 5, 4), (6, 5, 4), 0.25, 1),
    "side by side": ((6, 4, 4), (3, 2, 4), 0, 4),
    "the last one moves back": ((7, 4, 4), (3, 4, 4), 0, 3),
    "half shared": ((6, 5, 4), (4, 4, 2), 0.5, 12),
    "an axis that fits takes no part": ((9, 4, 4), (4, 4, 4), 0.5, 4),
    "steps are rounded down": ((11, 7, 4), (5, 3, 4), 0.3, 9),
    "a step is one voxel at least": ((4, 3, 3), (2, 3, 3), 0.9, 3),
    "overlap by axis": ((8, 8, 8), (4, 4, 4), (0, 0.25, 0.5), 18),
    "smaller than the window": ((3, 2, 3), (4, 5, 6), 0.25, 1),
    "smaller along one axis": ((9, 2, 7), (4, 5, 4), 0.25, 6),
    "the whole axis": ((7, 6, 5), (4, -1, 0), 0.25, 2),
    "one length for all axes": ((7, 6, 5), 4, 0.25, 8),
    "2D": ((9, 7), (4, 4), 0.5, 12),
    "a prime size": ((13, 11, 7), (5, 4, 3), 0.6, 5 * 8 * 5),
}


@pytest.mark.parametrize("row", GRIDS.values(), ids=GRIDS.keys())
def test_the_grid_is_what_monai_visits_in_its_order(row):
    size, roi_size, overlap, count = row
    windows = window_grid(size, roi_size, overlap)
    assert len(windows) == count
    image = numbered(size)
    given = [roi_size] * len(size) if isinstance(roi_size, int) else roi_size
    roi = [r if r > 0 else n for n, r in zip(size, given, strict=True)]
    seen = seen_by_monai(image, roi_size, overlap)
    assert len(seen) == len(windows)
    whole = padded(image, roi)[0]
    for window, content in zip(windows, seen, strict=True):
        assert torch.equal(whole[(slice(None), *window)], content)


@pytest.mark.parametrize("seed", range(20))
def test_any_grid(seed):
    rng = np.random.default_rng(seed)
    size, roi = (tuple(int(n) for n in rng.integers(1, 9, 3)) for _ in range(2))
    overlap = tuple(float(share) for share in rng.uniform(0, 0.95, 3))
    image, windows = numbered(size), window_grid(size, roi, overlap)
    whole = padded(image, roi)[0]
    expected = torch.stack([whole[(slice(None), *window)] for window in windows])
    assert torch.equal(expected, torch.stack(seen_by_monai(image, roi, overlap, sw_batch_size=3)))


@pytest.mark.parametrize("row", GRIDS.values(), ids=GRIDS.keys())
def test_windows_cover_every_voxel_and_have_one_size(row):
    size, roi_size, overlap, _ = row
    windows = window_grid(size, roi_size, overlap)
    covered = np.zeros([max(w[axis].stop for w in windows) for axis in range(len(size))], bool)
    for window in windows:
        covered[window] = True
    assert covered.all()
    assert all(n <= c for n, c in zip(size, covered.shape, strict=True))
    assert len({tuple(s.stop - s.start for s in window) for window in windows}) == 1


@pytest.mark.parametrize("overlap", [1.0, -0.1, (0.5, 1.5)])
def test_an_overlap_out_of_range_is_named(overlap):
    with pytest.raises(ValueError, match=r"overlap \(=.*\) must be at least 0 and below 1"):
        window_grid((8, 8), (4, 4), overlap)
