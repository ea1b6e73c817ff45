"""Stitching of windows to slabs: weighted means, complete when no further window can change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from monai_attn.inference.window_plan import WindowPlan
from monai_attn.inference.windows import Window
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.restore import Slab, within


def stitch(
    image: Tensor,
    network: Callable[[Tensor], Any],
    plan: WindowPlan,
    weight: Tensor,
    *,
    window_device: torch.device | None = None,
    device: torch.device | None = None,
    decoding: Decoding = Decoding(),  # noqa: B008  a constant
) -> Iterator[Slab]:
    """Run the windows and yield one slab after the other along `plan.axis`.

    Memory follows the slab: the sums have the depth of one window. Where no window ran, the first output
    is background and the others are NaN.

    Args:
        image: (C, *padded grid).
        network: from (B, C, *roi) to logits (B, K, *roi); or to a list of tensors, logits first; coarser
            ones are resampled to the window's grid.
        plan: the windows, their order and batches.
        weight: (*roi) weights of a window's voxels.
        window_device: device on which the windows run; that of the image by default.
        device: device on which the slabs are summed; that of the image by default.
        decoding: tells which logits are background; that of classes by default.
    """
    sums = _Sums(plan, weight, device or image.device, decoding)
    run = _OneRetry(network, sums)
    windows = sorted(plan.windows, key=lambda window: window[plan.axis].start)
    for batch in _batches(windows, plan.batch):
        inputs = torch.stack([image[within(window)] for window in batch])
        for window, outputs in zip(batch, run(inputs.to(window_device)), strict=True):
            yield from sums.before(window[plan.axis].start)
            sums.add(window, outputs)
    yield from sums.before(sums.box[plan.axis].stop)


def _batches(windows: list[Window], size: int) -> Iterator[list[Window]]:
    for first in range(0, len(windows), size):
        yield windows[first : first + size]


class _OneRetry:
    """A network that runs window by window, with its sums on the CPU, after it ran out of memory."""

    def __init__(self, network: Callable[[Tensor], Any], sums: _Sums) -> None:
        self.network = network
        self.sums = sums
        self.small = False

    def __call__(self, inputs: Tensor) -> list[list[Tensor]]:
        """Return the list of outputs (K, *roi) of each window in (B, C, *roi)."""
        if self.small:
            return [outputs for one in inputs.split(1) for outputs in self._run(one)]
        try:
            return self._run(inputs)
        except torch.OutOfMemoryError:
            self.small = True
        self.sums.to(torch.device("cpu"))
        torch.cuda.empty_cache()  # only now the memory of the network is free
        return self(inputs)

    def _run(self, inputs: Tensor) -> list[list[Tensor]]:
        found = tensors(self.network(inputs))
        return [
            [_like(output[i], inputs.shape[2:]) for output in found] for i in range(len(inputs))
        ]


def tensors(outputs: Any) -> list[Tensor]:
    """Return a flat list of a network's output tensors: one, or a nested tuple, list or dict of them."""
    if isinstance(outputs, Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, dict) else outputs
    return [tensor for part in parts for tensor in tensors(part)]


def _like(output: Tensor, roi: Sequence[int]) -> Tensor:
    """Resample an output (K, *coarser) to the window's grid, with half-pixel centres."""
    if output.shape[1:] == tuple(roi):
        return output
    mode = "trilinear" if len(roi) == 3 else "bilinear"
    size = tuple(roi)
    return torch.nn.functional.interpolate(output[None].float(), size=size, mode=mode)[0]


class _Sums:
    """The weighted sums of the layers that are not final yet."""

    def __init__(
        self, plan: WindowPlan, weight: Tensor, device: torch.device, decoding: Decoding
    ) -> None:
        self.plan = plan
        self.decoding = decoding
        self.axis = plan.axis
        self.box = plan.box
        self.front = self.box[self.axis].start  # the first layer that was not yielded
        self.depth = plan.roi_size[self.axis] + 1  # a window, and the layer before the first one
        self.weight = weight.to(device)
        self.device = device
        self.count: Tensor | None = None  # (1, *layers)
        self.outputs: list[Tensor] = []  # each (K, *layers)

    def to(self, device: torch.device) -> None:
        self.device, self.weight = device, self.weight.to(device)
        self.outputs = [output.to(device) for output in self.outputs]
        if self.count is not None:
            self.count = self.count.to(device)

    def add(self, window: Window, outputs: list[Tensor]) -> None:
        """Add the outputs of a window, which does not reach before the front."""
        if self.count is None:
            self.count = self._layers(1, self.depth)
            self.outputs = [self._layers(len(output), self.depth) for output in outputs]
        starts = [s.start for s in self.box]
        starts[self.axis] = self.front
        at = tuple(
            slice(s.start - start, s.stop - start) for s, start in zip(window, starts, strict=True)
        )
        self.count[within(at)] += self.weight
        for total, output in zip(self.outputs, outputs, strict=True):
            total[within(at)].addcmul_(output.to(self.device, total.dtype), self.weight)

    def before(self, layer: int) -> Iterator[Slab]:
        """Yield the slab before a layer, which no later window touches."""
        depth = layer - self.front
        if self.count is None or depth <= 0:
            return
        dim = 1 + self.axis
        if depth > self.depth:  # some layers have no windows
            self.count = self._longer(self.count, depth - self.depth)
            self.outputs = [self._longer(output, depth - self.depth) for output in self.outputs]
        count = self.count.narrow(dim, 0, depth)
        seen = count > 0
        done = [output.narrow(dim, 0, depth) / count for output in self.outputs]
        self.count = self._rest(self.count, depth)
        self.outputs = [self._rest(output, depth) for output in self.outputs]
        for index, value in enumerate(self.decoding.background(len(done[0]))):
            done[0][index].masked_fill_(~seen[0], value)
        box = list(self.box)
        box[self.axis] = slice(self.front, layer)
        self.front = layer
        slab = self._inside(box, done, seen)
        if slab is not None:
            yield slab

    def _inside(self, box: Sequence[slice], outputs: list[Tensor], seen: Tensor) -> Slab | None:
        """Return the slab without the padding around the volume; None if nothing remains."""
        kept, where = [], []
        for part, pad, size in zip(box, self.plan.padding, self.plan.grid, strict=True):
            low, high = max(part.start, pad), min(part.stop, pad + size)
            if low >= high:
                return None
            kept.append(slice(low - part.start, high - part.start))
            where.append(slice(low - pad, high - pad))
        logits, *maps = [output[within(kept)] for output in outputs]
        return Slab(tuple(where), logits, tuple(maps), seen[within(kept)])

    def _layers(self, channels: int, depth: int) -> Tensor:
        shape = [s.stop - s.start for s in self.box]
        shape[self.axis] = depth
        return torch.zeros((channels, *shape), dtype=self.weight.dtype, device=self.device)

    def _longer(self, total: Tensor, missing: int) -> Tensor:
        return torch.cat([total, self._layers(len(total), missing)], dim=1 + self.axis)

    def _rest(self, total: Tensor, depth: int) -> Tensor:
        """Return the layers after those that were yielded, followed by empty ones, in the same memory."""
        dim = 1 + self.axis
        if total.shape[dim] > self.depth:  # it was made longer, and all of it was yielded
            return self._layers(len(total), self.depth)
        kept = self.depth - depth
        for first in range(0, kept, depth):  # parts that do not overlap with where they go
            size = min(depth, kept - first)
            total.narrow(dim, first, size).copy_(total.narrow(dim, first + depth, size))
        total.narrow(dim, kept, depth).zero_()
        return total
