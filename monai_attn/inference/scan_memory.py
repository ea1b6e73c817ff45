"""The memory that segmenting a scan needs, and what the process may hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from monai_attn.distributed.process_info import read_process_info
from monai_attn.inference.memory import format_memory, free_memory, used_memory
from monai_attn.inference.window_plan import WindowPlan, memory_need
from monai_attn.io.errors import OptionError
from monai_attn.io.grid import Grid
from monai_attn.transforms.resample import parallel_axes


@dataclass(frozen=True)
class ScanMemory:
    """The host memory of a segmentation.

    Args:
        device: device of the network.
        memory: bytes that the whole process may hold; None for the memory of the machine, shared equally
            between the processes that torchrun started on it.
        stitched: number of channels that are stitched.
        inputs: number of channels of the scan.
        kept: bytes kept for each voxel of the scan: labels, the labels of a view, and maps.
    """

    device: torch.device
    memory: int | None
    stitched: int
    kept: int
    inputs: int = 1

    def allowed(self) -> int:
        """Return the bytes that the process may hold."""
        if self.memory is not None:
            return self.memory
        return used_memory() + free_memory() // read_process_info().local_size

    def need(
        self, scan: Grid, affine: NDArray[np.float64], plan: WindowPlan, locator_bytes: int = 0
    ) -> int:
        """Return the bytes that a scan adds to those of the process at the peak.

        Args:
            scan: grid of the scan.
            affine: (4, 4) affine of the network's grid.
            plan: the windows.
            locator_bytes: bytes that the locator takes.
        """
        if self.device.type == "cuda":  # first the scan and its pinned copy, then the results
            return max(8 * self.inputs, self.kept) * math.prod(scan.shape)
        straight = parallel_axes(np.linalg.inv(affine) @ scan.affine, scan.shape) is not None
        whole = 0 if straight else plan.channels
        need = memory_need(
            scan.shape, plan.grid, plan, volumes=self.kept, whole=whole, inputs=self.inputs
        ).peak
        image = 4 * self.inputs * math.prod(plan.grid)
        return max(need, image + locator_bytes) if locator_bytes else need

    def check(self, scan: Grid, need: int) -> None:
        """Refuse a scan that would not fit into memory, from what it would need.

        Raises:
            OptionError: one line that names the scan.
        """
        needed, allowed = used_memory() + need, self.allowed()
        if needed > allowed:
            raise OptionError(
                f"{scan.path}: takes {format_memory(needed)} of memory (allowed: "
                f"{format_memory(allowed)}). Allow more with ",
                "memory",
                format_memory(needed * 1.05).replace(" ", ""),
                ", or crop the scan.",
            )

    def fit(self, plan: WindowPlan, scan: Grid) -> WindowPlan:
        """Return the plan with the largest batch that fits into memory."""
        if self.device.type == "cuda":
            return plan
        return plan.fitting(self.allowed() - used_memory() - math.prod(scan.shape) * self.kept)
