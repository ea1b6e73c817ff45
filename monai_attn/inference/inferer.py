"""MONAI's sliding window with two additions: it skips irrelevant windows and stitches slab by slab."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import compute_importance_map
from monai.inferers import SlidingWindowInferer
from monai.utils import PytorchPadMode, convert_to_dst_type, fall_back_tuple
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from monai_attn.datasets.regions import read_regions
from monai_attn.inference.locator import Region
from monai_attn.inference.memory import format_memory, parse_memory
from monai_attn.inference.stitch import stitch, tensors
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.inference.windows import (
    Window,
    checked_overlap,
    touching,
    window_grid,
    windows_over,
)
from monai_attn.io.errors import reason
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.restore import Slab, within

log = logging.getLogger(__name__)
OUTSIDE_BODY, OUTSIDE_REGION = "outside the body", "outside the region"
# Arguments of a call that only MONAI's own loop supports.
MONAI_ONLY = {"process_fn", "condition", "roi_weight_map", "device", "buffer_steps", "buffer_dim"}


class AttentionWindowInferer(SlidingWindowInferer):
    """Sliding window inference that runs only the relevant windows.

    It replaces `monai.inferers.SlidingWindowInferer` in any bundle config, with any network: the same
    arguments have the same meaning, and without the new ones the result is the same up to rounding.
    Windows that a mask or a locator excludes are background by definition. Outputs are summed slab by
    slab, whatever the value of `buffer_steps`, and `progress` counts slabs. If there are several outputs,
    all are resampled to the window's grid.

    Args:
        roi_size: voxels of a window; an entry below 1 stands for the whole axis.
        sw_batch_size: windows that run at once.
        overlap: fraction of a window that it shares with the next.
        body_mask: function from an image (1, C, *spatial) to a mask (*spatial, or coarser) of the body;
            windows that do not touch it are skipped.
        locator: function from an image (1, C, *spatial) to the `Region` that contains the target.
        focus: whether the locator is used. If it finds no plausible region, all windows run, and each call
            logs a warning with the reason. It is no Python warning, since a server would show that only once.
        budget: memory that stitching and one batch of windows may take, in bytes or as "4GiB"; smaller
            batches are tried before an error.
        regions: the regions of the logits, as for `read_regions`; None for classes. Where no window ran,
            the logits are then those of no region.
        options: the further arguments of `SlidingWindowInferer`.

    Raises:
        ValueError: if an argument is out of range, or, when called, if the budget is too small.

    Example:
        >>> inferer = AttentionWindowInferer((16, 16, 16), overlap=0.5, mode="gaussian")
        >>> inferer(torch.rand(1, 1, 24, 20, 30), lambda x: torch.cat([x, -x], dim=1)).shape
        torch.Size([1, 2, 24, 20, 30])
    """

    def __init__(
        self,
        roi_size: Any,
        sw_batch_size: int = 1,
        overlap: Any = 0.25,
        *args: Any,
        body_mask: Callable[[Tensor], Tensor] | None = None,
        locator: Callable[[Tensor], Region] | None = None,
        focus: bool = True,
        budget: int | str | None = None,
        regions: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(roi_size, sw_batch_size, overlap, *args, **options)
        if sw_batch_size < 1:
            raise ValueError(f"sw_batch_size (={sw_batch_size}) must be at least 1")
        checked_overlap(overlap)
        self.body_mask = body_mask
        self.locator = locator
        self.focus = focus
        self.budget = parse_memory(budget) if isinstance(budget, str) else budget
        self.decoding = Decoding(read_regions(regions))

    def plan(self, image: Tensor, channels: int = 2) -> WindowPlan:
        """Plan the windows that run for an image (1, C, *spatial), with the reasons for skipping others.

        Args:
            image: input of the network.
            channels: number of channels to stitch, of all outputs together.

        Raises:
            ValueError: if not even one window at a time fits the budget.
            RuntimeError: if the locator fails.
        """
        grid = tuple(int(n) for n in image.shape[2:])
        roi = fall_back_tuple(self.roi_size, grid)
        padded = [max(n, r) for n, r in zip(grid, roi, strict=True)]
        padding = tuple((p - n) // 2 for p, n in zip(padded, grid, strict=True))
        every = window_grid(grid, roi, self.overlap)
        windows, mode, fallback = every, "full", ""
        skipped: dict[str, int] = {}
        if self.body_mask is not None:
            windows = touching(every, self.body_mask(image), grid, padding) or every[:1]
            skipped[OUTSIDE_BODY] = len(every) - len(windows)
        if self.locator is not None and self.focus:
            region = _located(self.locator, image)
            fallback = region.fault
            if region.mask is not None:
                over = windows_over(_box(region.mask, grid, padding), padded, roi, self.overlap)
                near = touching(over, region.mask, grid, padding)
                if len(near) <= len(windows):
                    skipped[OUTSIDE_REGION] = len(windows) - len(near)
                    windows, mode = near, "focus"
                else:
                    fallback = "the locator's region takes more windows than the whole body"
        plan = WindowPlan(
            grid=grid,
            padding=padding,
            roi_size=tuple(roi),
            windows=tuple(windows),
            total=len(every),
            skipped={why: count for why, count in skipped.items() if count},
            mode=mode,
            fallback=fallback,
            batch=self.sw_batch_size,
            channels=channels,
        ).on_thickest_axis()
        return self._within_budget(plan)

    @property
    def window_size(self) -> Any:
        """Voxels of a window as the network sees it: one number, or one for each of its axes."""
        return self.roi_size

    def on_windows(self, network: Callable[..., Any]) -> Callable[..., Any]:
        """Return the network as a function of windows (B, C, *roi_size)."""
        return network

    def slabs(
        self, image: Tensor, network: Callable[[Tensor], Any], plan: WindowPlan
    ) -> Iterator[Slab]:
        """Run a plan's windows over an image (C, *spatial), slab after slab along `plan.axis`."""
        sizes = zip(plan.grid, plan.roi_size, plan.padding, strict=True)
        pads = [n for size, roi, pad in reversed([*sizes]) for n in (pad, max(0, roi - size - pad))]
        if any(pads):
            mode = PytorchPadMode(self.padding_mode)
            image = F.pad(image[None], pads, mode=mode, value=self.cval)[0]
        image = image.contiguous()  # many windows are cut from it
        weight = compute_importance_map(
            plan.roi_size, self.mode, self.sigma_scale, device=image.device, dtype=image.dtype
        )
        device = self.device
        if device is None and self.cpu_thresh is not None and image[0].numel() > self.cpu_thresh:
            device = "cpu"
        slabs = stitch(
            image,
            self.on_windows(network),
            plan,
            weight,
            window_device=self.sw_device,
            device=torch.device(device) if device is not None else None,
            decoding=self.decoding,
        )
        return iter(track(slabs, "windows", plan.slabs)) if self.progress else slabs

    def __call__(
        self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Return the network's stitched output (B, K, *spatial) for inputs (B, C, *spatial).

        Several outputs are returned as a tuple, or as a dict if the network names them.
        """
        if self.with_coord or MONAI_ONLY & kwargs.keys():
            return super().__call__(inputs, self.on_windows(network), *args, **kwargs)
        structure: Any = None

        def run(windows: Tensor) -> list[Tensor]:
            nonlocal structure
            found = network(windows, *args, **kwargs)
            if isinstance(found, dict) and not all(isinstance(v, Tensor) for v in found.values()):
                raise ValueError(
                    "a network that names its outputs must give a tensor for each name"
                )
            structure = found if structure is None else structure
            return tensors(found)

        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        names = _scan_names(inputs)
        images = [self._whole(image, run, name) for image, name in zip(plain, names, strict=True)]
        outputs = [torch.stack(parts) for parts in zip(*images, strict=True)]
        outputs = [convert_to_dst_type(out, inputs, device=out.device)[0] for out in outputs]
        if isinstance(structure, dict):
            return dict(zip(structure, outputs, strict=True))
        return outputs[0] if isinstance(structure, Tensor) else tuple(outputs)

    def _whole(
        self, image: Tensor, network: Callable[[Tensor], list[Tensor]], name: str
    ) -> list[Tensor]:
        """Join the slabs of one image (C, *spatial); voxels without a slab are background."""
        whole: list[Tensor] = []
        plan = self.plan(image[None])
        if plan.fallback:
            log.warning(f"{name}full mode: {plan.fallback}")
        for slab in self.slabs(image, network, plan):
            parts = [slab.logits, *slab.maps]
            if not whole:
                whole = [part.new_full((len(part), *image.shape[1:]), torch.nan) for part in parts]
                background = self.decoding.background(len(whole[0]))
                for channel, value in zip(whole[0], background, strict=True):
                    channel.fill_(value)
            for total, part in zip(whole, parts, strict=True):
                total[within(slab.box)] = part
        return whole

    def _within_budget(self, plan: WindowPlan) -> WindowPlan:
        """Return the plan with the largest batch that the budget allows."""
        if self.budget is None:
            return plan
        plan = plan.fitting(self.budget)
        if plan.stitch_bytes + plan.window_bytes <= self.budget:
            return plan
        need = format_memory(plan.stitch_bytes + plan.window_bytes)
        raise ValueError(
            f"budget (={format_memory(self.budget)}) is below the {need} that windows of "
            f"{plan.roi_size} take one at a time; allow {need} or choose a smaller roi_size"
        )


def _located(locator: Callable[[Tensor], Region], image: Tensor) -> Region:
    try:
        region = locator(image)
    except Exception as error:  # it may be any network, and raise anything
        raise RuntimeError(f"the locator failed ({reason(error)}); use mode full") from error
    if region.mask is not None and not region.mask.any():
        return Region(None, "the locator found nothing")
    return region


def _scan_names(inputs: Tensor) -> list[str]:
    """Return for each image of a batch "FILE: ", or an empty text where the file is not known."""
    files = inputs.meta.get("filename_or_obj", "") if isinstance(inputs, MetaTensor) else ""
    files = [files] * len(inputs) if isinstance(files, str) else [*files]
    if len(files) != len(inputs):
        files = [""] * len(inputs)
    return [f"{file}: " if file else "" for file in files]


def _box(mask: Tensor, grid: tuple[int, ...], padding: tuple[int, ...]) -> Window:
    """Return the box of a mask on the padded grid; the mask may be coarser than the grid."""
    box = []
    for found, n, m, pad in zip(torch.nonzero(mask).T, grid, mask.shape, padding, strict=True):
        low, high = int(found.min()), int(found.max()) + 1
        box.append(slice(low * n // m + pad, min(n, -(-high * n // m)) + pad))
    return tuple(box)
