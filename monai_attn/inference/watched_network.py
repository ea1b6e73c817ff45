"""A network that is timed and reports its windows, and slabs that are shown while they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from monai_attn.inference.segmentation import StageClock
from monai_attn.transforms.restore import Slab

OnWindow = Callable[[int, int | None], None]
"""Called with the windows done and the windows in all, None where that is not known."""

OnSlab = Callable[[Slab], None]


class WatchedNetwork:
    """A network whose calls are timed as the stage `network`, and counted by their windows.

    The clock does not wait for a GPU: its time counts where the results are first needed.

    Args:
        network: the network.
        clock: gets the seconds of the calls.
        on_window: called before the first window and after each call.
        total: number of windows in all, if it is known.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Any],
        clock: StageClock,
        on_window: OnWindow | None = None,
        total: int | None = None,
    ) -> None:
        self.network, self.clock, self.on_window, self.total = network, clock, on_window, total
        self.done = 0
        clock.seconds["network"] = 0.0
        if on_window:
            on_window(0, total)

    def __call__(self, windows: Tensor) -> Any:
        """Run the network on windows (B, C, *roi)."""
        with self.clock("network"):
            outputs = self.network(windows)
        self.done += len(windows)
        if self.on_window:
            self.on_window(self.done, self.total)
        return outputs


def shown_slabs(slabs: Iterator[Slab], on_slab: OnSlab) -> Iterator[Slab]:
    """Yield slabs, after `on_slab` was called with each."""
    for slab in slabs:
        on_slab(slab)
        yield slab
