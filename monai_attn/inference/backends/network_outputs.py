"""The outputs of a network in one form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Outputs = Tensor | tuple[Tensor, ...]
Run = Callable[[Tensor], Outputs]


def as_tuple(outputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return one tensor or several as a tuple."""
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


class AsTuple(nn.Module):
    """A network that always returns a tuple: exporters support tuples, but not lists."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        """Return the network's outputs for windows (B, C, *roi)."""
        return as_tuple(self.network(windows))


def one_by_one(
    infer: Callable[[NDArray], Sequence[NDArray]], window: tuple[int, ...], *, single: bool
) -> Run:
    """Run a batch of any size through `infer`, which accepts one window.

    Args:
        infer: from a float32 array (1, C, *roi) to its outputs; the next call may overwrite them.
        window: (C, *roi).
        single: whether the network returns one tensor and not a tuple.
    """

    def run(windows: Tensor) -> Outputs:
        if windows.shape[1:] != window:
            raise ValueError(
                f"windows (={tuple(windows.shape)}) must be (B, {str(window)[1:-1]}),"
                " for which this backend was loaded"
            )
        plain = windows.detach().as_subclass(Tensor)  # MONAI's MetaTensor is slower and not needed
        arrays = plain.to("cpu", torch.float32).contiguous().numpy()
        outputs: list[Tensor] = []
        for i in range(len(arrays)):
            levels = infer(arrays[i : i + 1])
            if not outputs:
                outputs = [torch.empty((len(arrays), *level.shape[1:])) for level in levels]
            for output, level in zip(outputs, levels, strict=True):
                output[i] = torch.from_numpy(level[0])
        placed = tuple(output.to(windows.device) for output in outputs)
        return placed[0] if single else placed

    return run
