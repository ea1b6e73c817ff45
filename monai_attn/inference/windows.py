"""The grid of windows that slides over a volume."""

from __future__ import annotations

from collections.abc import Sequence

from monai.data.utils import dense_patch_slices
from monai.utils import ensure_tuple_rep, fall_back_tuple

Window = tuple[slice, ...]


def window_grid(
    size: Sequence[int], roi_size: Sequence[int] | int, overlap: Sequence[float] | float
) -> list[Window]:
    """The windows that `SlidingWindowInferer` visits, in its order.

    Args:
        size: voxels of the volume along each axis; one smaller than the window is padded to it.
        roi_size: voxels of a window; an entry below 1 stands for the whole axis.
        overlap: fraction of a window that it shares with the next, 0 to below 1.

    Raises:
        ValueError: if the overlap is out of range.
    """
    overlaps = ensure_tuple_rep(overlap, len(size))
    if not all(0 <= share < 1 for share in overlaps):
        raise ValueError(f"overlap (={overlap}) must be at least 0 and below 1")
    roi = fall_back_tuple(roi_size, size)
    padded = [max(n, r) for n, r in zip(size, roi, strict=True)]
    steps = [
        max(1, r if r == n else int(r * (1 - share)))
        for n, r, share in zip(padded, roi, overlaps, strict=True)
    ]
    return list(dense_patch_slices(padded, roi, steps))
