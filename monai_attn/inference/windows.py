"""The windows that slide over a volume, and the selection of those that touch a mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from monai.data.utils import dense_patch_slices
from monai.utils import ensure_tuple_rep, fall_back_tuple
from torch import Tensor

Window = tuple[slice, ...]


def window_grid(
    size: Sequence[int], roi_size: Sequence[int] | int, overlap: Sequence[float] | float
) -> list[Window]:
    """Return the windows that `SlidingWindowInferer` visits, in its order.

    Args:
        size: voxels of the volume along each axis; an axis shorter than the window is padded to it.
        roi_size: voxels of a window; an entry below 1 stands for the whole axis.
        overlap: fraction of a window that it shares with the next, 0 to below 1.

    Raises:
        ValueError: if the overlap is out of range.
    """
    overlaps = ensure_tuple_rep(checked_overlap(overlap), len(size))
    roi = fall_back_tuple(roi_size, size)
    padded = [max(n, r) for n, r in zip(size, roi, strict=True)]
    steps = [
        max(1, r if r == n else int(r * (1 - share)))
        for n, r, share in zip(padded, roi, overlaps, strict=True)
    ]
    return list(dense_patch_slices(padded, roi, steps))


def checked_overlap(overlap: Sequence[float] | float) -> Sequence[float] | float:
    """Return the overlap if it is in range.

    Raises:
        ValueError: if the overlap is out of range.
    """
    shares = overlap if isinstance(overlap, Sequence) else [overlap]
    if not all(0 <= share < 1 for share in shares):
        raise ValueError(f"overlap (={overlap}) must be at least 0 and below 1")
    return overlap


def windows_over(
    box: Window,
    size: Sequence[int],
    roi_size: Sequence[int] | int,
    overlap: Sequence[float] | float,
) -> list[Window]:
    """Return windows that cover a box of the volume, laid out over the box and not over the volume.

    If the box fits into one window along an axis, that window is centred on it as far as the volume
    allows.

    Args:
        box: a slice for each axis.
        size: voxels of the volume, padded to at least one window.
        roi_size: as for `window_grid`.
        overlap: as for `window_grid`.
    """
    roi = fall_back_tuple(roi_size, size)
    starts = []
    for part, n, r in zip(box, size, roi, strict=True):
        spare = max(0, r - (part.stop - part.start))
        starts.append(
            min(max(part.start - spare // 2, 0), max(n - max(r, part.stop - part.start), 0))
        )
    extent = [part.stop - part.start for part in box]
    return [
        tuple(
            slice(s.start + start, s.stop + start) for s, start in zip(window, starts, strict=True)
        )
        for window in window_grid(extent, roi, overlap)
    ]


def touching(
    windows: Iterable[Window], mask: Tensor, size: Sequence[int], offset: Sequence[int]
) -> list[Window]:
    """Return the windows in which the mask has a True, with a margin of one of its voxels.

    Args:
        windows: windows of the padded volume.
        mask: (*spatial) bool on the volume's grid or a coarser one over the same extent. The last voxel
            of a coarser one may reach beyond the volume; the margin compensates for that.
        size: voxels of the volume.
        offset: voxels of padding before the volume.
    """

    def part(window: Window) -> Window:
        """Return the mask's voxels under the window."""
        return tuple(
            slice(max(0, (s.start - o) * m // n - 1), max(0, ceil((s.stop - o) * m / n) + 1))
            for s, o, m, n in zip(window, offset, mask.shape, size, strict=True)
        )

    return [window for window in windows if bool(mask[part(window)].any())]
