"""The plan of a run and the memory that it needs, computed before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from monai_attn.inference.windows import Window

# Bytes that a running network holds for each voxel of a window. The largest layer of 16 channels takes
# 64 as float32; its neighbours and the memory that a library reserves take a multiple of that.
ACTIVATIONS = 700


@dataclass(frozen=True)
class WindowPlan:
    """The windows of one volume, the order in which they run, and the memory that they take.

    Attributes:
        grid: voxels of the network's grid.
        padding: voxels added before the volume along each axis, if it is smaller than a window.
        roi_size: voxels of a window.
        windows: the windows that run, on the padded grid.
        total: number of windows, including skipped ones.
        skipped: number of skipped windows, by reason.
        mode: "full" or "focus".
        fallback: reason why a run in focus mode became a full run, or empty.
        batch: windows that run at once.
        channels: channels that are stitched, attention maps included.
        axis: the axis along which the slabs follow each other.
        members: networks that run on each window, one after the other; their outputs are held together.
    """

    grid: tuple[int, ...]
    padding: tuple[int, ...]
    roi_size: tuple[int, ...]
    windows: tuple[Window, ...]
    total: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    mode: str = "full"
    fallback: str = ""
    batch: int = 1
    channels: int = 2
    axis: int = 0
    members: int = 1

    @property
    def box(self) -> Window:
        """The part of the padded grid that the windows cover, with one more layer if there is one."""
        return tuple(
            slice(
                max(0, min(w[i].start for w in self.windows) - 1),
                min(max(n, r), max(w[i].stop for w in self.windows) + 1),
            )
            for i, (n, r) in enumerate(zip(self.grid, self.roi_size, strict=True))
        )

    @property
    def slabs(self) -> int:
        """The number of slabs, each of which ends where the next one's windows begin."""
        return len({window[self.axis].start for window in self.windows})

    @property
    def stitch_bytes(self) -> int:
        """The bytes of one slab's sums and weights, and of the finished slab."""
        if not self.windows:
            return 0
        layer = math.prod(s.stop - s.start for i, s in enumerate(self.box) if i != self.axis)
        return 2 * 4 * (self.channels + 1) * layer * (self.roi_size[self.axis] + 2)

    @property
    def window_bytes(self) -> int:
        """The bytes that the network holds while a batch runs."""
        outputs = 4 * self.channels * (self.members if self.members > 1 else 0)
        return self.batch * (ACTIVATIONS + outputs) * math.prod(self.roi_size)

    def fitting(self, limit: int) -> WindowPlan:
        """Return the plan with the largest batch that fits into `limit` bytes, at least 1."""
        for batch in range(self.batch, 1, -1):
            plan = replace(self, batch=batch)
            if plan.stitch_bytes + plan.window_bytes <= limit:
                return plan
        return replace(self, batch=1)

    def on_thickest_axis(self) -> WindowPlan:
        """Return the same plan with its slabs along the axis that makes them smallest."""
        plans = [replace(self, axis=axis) for axis in range(len(self.grid))]
        return min(plans, key=lambda plan: plan.stitch_bytes)


@dataclass(frozen=True)
class MemoryNeed:
    """The bytes that each stage of one scan adds to the memory of the process."""

    read: int
    prepare: int
    windows: int

    @property
    def peak(self) -> int:
        """The largest of the stages, in bytes."""
        return max(self.read, self.prepare, self.windows)


def memory_need(
    scan: Sequence[int],
    grid: Sequence[int],
    plan: WindowPlan,
    *,
    volumes: int = 1,
    whole: int = 0,
    inputs: int = 1,
) -> MemoryNeed:
    """Estimate the memory of a run on the CPU.

    Args:
        scan: voxels of the scan.
        grid: voxels of the network's grid.
        plan: the windows and the slabs.
        volumes: bytes kept for each voxel of the scan: one for the labels, one for each map.
        whole: floats kept for each voxel of the network's grid, if the scan is sheared.
        inputs: number of channels of the scan.
    """
    voxels, image = 4 * inputs * math.prod(scan), 4 * inputs * math.prod(grid)  # float32
    padded = 4 * inputs * math.prod(max(n, r) for n, r in zip(grid, plan.roi_size, strict=True))
    running = plan.stitch_bytes + plan.window_bytes + (padded if padded > image else 0)
    kept = volumes * math.prod(scan) + whole * 4 * math.prod(grid)
    return MemoryNeed(
        read=voxels if inputs == 1 else 2 * voxels,
        prepare=voxels + image,
        windows=image + kept + running,
    )
