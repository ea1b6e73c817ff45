"""The memory that segmenting a scan needs, and what the process may hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from monai_attn.distributed.process_info import read_process_info
from monai_attn.inference.device_memory import used_device_memory
from monai_attn.inference.memory import format_memory, free_memory, used_memory
from monai_attn.inference.window_plan import WindowPlan, memory_need
from monai_attn.io.errors import OptionError
from monai_attn.io.grid import Grid
from monai_attn.transforms.resample import parallel_axes


@dataclass(frozen=True)
class ScanMemory:
    """The memory of a segmentation: of the host and, with a GPU, of the GPU.

    Args:
        device: device of the network.
        memory: bytes that the whole process may hold in the host's memory, and as many in that of a GPU;
            None for the memory of the machine, shared equally between the processes that torchrun started
            on it, and for no limit on a GPU.
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
        """Return the bytes that the process may hold in the host's memory."""
        if self.memory is not None:
            return self.memory
        return used_memory() + free_memory() // read_process_info().local_size

    def need(
        self, scan: Grid, affine: NDArray[np.float64], plan: WindowPlan, locator_bytes: int = 0
    ) -> int:
        """Return the bytes that a scan adds to the host's memory of the process at the peak.

        Args:
            scan: grid of the scan.
            affine: (4, 4) affine of the network's grid.
            plan: the windows.
            locator_bytes: bytes that the locator takes.
        """
        if self.device.type == "cuda":  # first the scan and its pinned copy, then the results
            return max(8 * self.inputs, self.kept) * math.prod(scan.shape)
        return self._running(scan, affine, plan, locator_bytes, self.kept)

    def device_need(
        self, scan: Grid, affine: NDArray[np.float64], plan: WindowPlan, locator_bytes: int = 0
    ) -> int:
        """Return the bytes that a scan adds to those of the process on a GPU at the peak; 0 on a CPU.

        Args:
            scan: as for `need`.
            affine: as for `need`.
            plan: as for `need`.
            locator_bytes: as for `need`.
        """
        if self.device.type != "cuda":
            return 0
        return self._running(scan, affine, plan, locator_bytes, kept=0)  # results go to the host

    def _running(
        self,
        scan: Grid,
        affine: NDArray[np.float64],
        plan: WindowPlan,
        locator_bytes: int,
        kept: int,
    ) -> int:
        """Return the bytes at the peak of a device that holds the scan, its windows and `kept` results."""
        straight = parallel_axes(np.linalg.inv(affine) @ scan.affine, scan.shape) is not None
        whole = 0 if straight else plan.channels
        need = memory_need(
            scan.shape, plan.grid, plan, volumes=kept, whole=whole, inputs=self.inputs
        ).peak
        image = 4 * self.inputs * math.prod(plan.grid)
        return max(need, image + locator_bytes) if locator_bytes else need

    def check(self, scan: Grid, need: int, device_need: int = 0) -> None:
        """Refuse a scan that would not fit into memory, from what it would need.

        Args:
            scan: grid of the scan.
            need: as from `need`.
            device_need: as from `device_need`.

        Raises:
            OptionError: one line that names the scan.
        """
        pairs = [("memory", used_memory() + need, self.allowed())]
        if self.memory is not None and device_need:
            on_device = used_device_memory(self.device) + device_need
            pairs.append(("memory of the GPU", on_device, self.memory))
        # the largest need first: then the amount in the message is enough for both
        for what, needed, allowed in sorted(pairs, key=lambda pair: -pair[1]):
            if needed <= allowed:
                continue
            raise OptionError(
                f"{scan.path}: takes {format_memory(needed)} of {what} (allowed: "
                f"{format_memory(allowed)}). Allow more with ",
                "memory",
                format_memory(needed * 1.05).replace(" ", ""),
                ", or crop the scan.",
            )

    def fit(self, plan: WindowPlan, scan: Grid) -> WindowPlan:
        """Return the plan with the largest batch that fits into memory."""
        if self.device.type == "cuda":
            if self.memory is None:  # `stitch` makes smaller batches when the GPU is full
                return plan
            image = 4 * self.inputs * math.prod(plan.grid)
            return plan.fitting(self.memory - used_device_memory(self.device) - image)
        return plan.fitting(self.allowed() - used_memory() - math.prod(scan.shape) * self.kept)
