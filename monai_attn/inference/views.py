"""Several views of one scan, to measure how volumes vary although the organ is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from monai_attn.inference.stitch import tensors


@dataclass(frozen=True)
class View:
    """A change of the network's input that leaves the organ as it is; flips are undone in the output.

    Attributes:
        gain: factor of the input.
        offset: value that is added after the multiplication.
        flip: the spatial axes of a window along which it is mirrored.
    """

    gain: float = 1.0
    offset: float = 0.0
    flip: tuple[int, ...] = ()

    def __call__(self, network: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
        """Wrap a network of windows (B, C, *spatial) so that it sees this view.

        Further outputs, such as attention, are left out.
        """
        dims = [2 + axis for axis in self.flip]

        def run(windows: Tensor) -> Tensor:
            seen = (windows * self.gain + self.offset).flip(dims)
            return tensors(network(seen))[0].flip(dims)

        return run


# Within the variation of intensities in training (see `transforms.augmentation`): 5 % of the network's range,
# which is 12.5 HU for a window of 250, and a tenth of the contrast.
GREY = (View(offset=-0.05), View(offset=0.05), View(gain=0.9), View(gain=1.1))


def further_views(flip_axes: Iterable[int] = ()) -> tuple[View, ...]:
    """Return the views besides the plain one: four with other grey values, and a mirror image per axis."""
    return (*GREY, *(View(flip=(axis,)) for axis in flip_axes))
