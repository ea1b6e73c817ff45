"""The windows of an inferer, ours or any of MONAI's, as far as they are known before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer
from monai.utils import ensure_tuple_rep, fall_back_tuple
from torch import Tensor

from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.locator import Locator
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.inference.windows import window_grid


class Windows(Protocol):
    """The windows of an inferer."""

    @property
    def mode(self) -> str:
        """The mode of inference: focus or full."""

    @property
    def has_locator(self) -> bool:
        """True if there is a locator that can select windows."""

    @property
    def locator_fault(self) -> str:
        """Reason why the locator cannot be used, or empty."""

    def choose_mode(self, mode: str) -> None:
        """Choose the mode, if there is a locator."""

    def shape(self, dims: int) -> tuple[int, ...] | None:
        """Return the voxels of a window for a network of 2 or 3 dimensions; None if they vary."""

    def plan(self, image: Tensor, channels: int) -> WindowPlan | None:
        """Plan the windows of an image (1, C, *spatial); None if the inferer makes no plan."""

    def plan_of_shape(self, shape: Sequence[int], channels: int) -> WindowPlan | None:
        """Plan all windows of an image of which only the shape is known."""

    def count(self, shape: Sequence[int]) -> int | None:
        """Return the number of windows of an image; None if it is only known during a run."""

    def locator_bytes(self, shape: Sequence[int]) -> int:
        """Return the bytes that the locator takes for an image; 0 without one."""


class PlannedWindows:
    """The windows of `AttentionWindowInferer`, which plans before it runs."""

    def __init__(self, inferer: AttentionWindowInferer) -> None:
        self.inferer = inferer

    @property
    def mode(self) -> str:
        """The mode: focus if the locator selects windows, else full."""
        return "focus" if self.has_locator and self.inferer.focus else "full"

    @property
    def has_locator(self) -> bool:
        """True if there is a locator that can select windows."""
        return self.inferer.locator is not None

    @property
    def locator_fault(self) -> str:
        """Reason why the locator cannot be used, or empty."""
        locator = self.inferer.locator
        return locator.fault if isinstance(locator, Locator) else ""

    def choose_mode(self, mode: str) -> None:
        """Choose the mode, if there is a locator."""
        if self.has_locator:
            self.inferer.focus = mode == "focus"

    def shape(self, dims: int) -> tuple[int, ...] | None:
        """Return the voxels of a window as the network sees it."""
        return _fixed(self.inferer.window_size, dims)

    def plan(self, image: Tensor, channels: int) -> WindowPlan | None:
        """Plan the windows of an image (1, C, *spatial)."""
        return self.inferer.plan(image, channels)

    def plan_of_shape(self, shape: Sequence[int], channels: int) -> WindowPlan | None:
        """Plan all windows, none of which is skipped."""
        grid = tuple(shape)
        roi = tuple(fall_back_tuple(self.inferer.roi_size, grid))
        windows = tuple(window_grid(grid, roi, self.inferer.overlap))
        padding = (0,) * len(grid)
        plan = WindowPlan(grid, padding, roi, windows, len(windows), channels=channels)
        return plan.on_thickest_axis()

    def count(self, shape: Sequence[int]) -> int | None:
        """Return the number of all windows."""
        return len(window_grid(shape, self.inferer.roi_size, self.inferer.overlap))

    def locator_bytes(self, shape: Sequence[int]) -> int:
        """Return the bytes that the locator takes in focus mode."""
        locator = self.inferer.locator if self.inferer.focus else None
        return locator.memory(shape) if isinstance(locator, Locator) else 0


class OtherWindows:
    """The windows of another inferer, of which little is known."""

    mode, has_locator, locator_fault = "full", False, ""

    def __init__(self, inferer: Inferer) -> None:
        self.inferer = inferer

    def choose_mode(self, mode: str) -> None:
        """Do nothing: there is no locator."""

    def shape(self, dims: int) -> tuple[int, ...] | None:
        """Return the voxels of a window, if the inferer slides it."""
        if not isinstance(self.inferer, SlidingWindowInferer):
            return None
        return _fixed(self.inferer.roi_size, dims)

    def plan(self, image: Tensor, channels: int) -> WindowPlan | None:
        """Return None: there is no plan."""
        return None

    def plan_of_shape(self, shape: Sequence[int], channels: int) -> WindowPlan | None:
        """Return None: there is no plan."""
        return None

    def count(self, shape: Sequence[int]) -> int | None:
        """Return the number of windows, if the inferer slides them through the volume."""
        slides = isinstance(self.inferer, SlidingWindowInferer)
        if not slides or isinstance(self.inferer, SliceInferer):
            return (
                None  # a slice inferer's windows in three dimensions are only known during a call
            )
        return len(window_grid(shape, self.inferer.roi_size, self.inferer.overlap))

    def locator_bytes(self, shape: Sequence[int]) -> int:
        """Return 0: there is no locator."""
        return 0


def windows_of(inferer: Inferer) -> Windows:
    """Return what is known of an inferer's windows."""
    if isinstance(inferer, AttentionWindowInferer):
        return PlannedWindows(inferer)
    return OtherWindows(inferer)


def _fixed(roi_size: object, dims: int) -> tuple[int, ...] | None:
    size = tuple(ensure_tuple_rep(roi_size, dims))
    return size if min(size) > 0 else None
