"""Inference of a 2D network slice by slice through a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.utils import ensure_tuple_rep
from torch import Tensor

from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.stitch import tensors


class SliceWindowInferer(AttentionWindowInferer):
    """Sliding windows of one slice, for a 2D network on volumes.

    It replaces `monai.inferers.SliceInferer`: the same arguments have the same meaning, and without those
    that `AttentionWindowInferer` adds the result is the same up to rounding. A window is one slice thick,
    so that plan, body mask, batches and slabs work as for any volume; the network sees it without that
    axis. A batch may hold windows of several slices.

    Args:
        roi_size: voxels of a window in the slice, one number or two; an entry below 1 stands for the
            whole axis.
        sw_batch_size: windows that run at once.
        overlap: fraction of a window that it shares with the next in its slice, one number or two.
        spatial_dim: the axis along which the slices follow each other; in RAS order 2 gives axial slices.
        options: the further arguments of `AttentionWindowInferer`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> inferer = SliceWindowInferer((16, 16), spatial_dim=2)
        >>> network = torch.nn.Conv2d(1, 2, 3, padding=1)
        >>> inferer(torch.rand(1, 1, 24, 20, 9), network).shape
        torch.Size([1, 2, 24, 20, 9])
    """

    def __init__(
        self,
        roi_size: Any,
        sw_batch_size: int = 1,
        overlap: Any = 0.25,
        *args: Any,
        spatial_dim: int = 2,
        **options: Any,
    ) -> None:
        if spatial_dim not in (0, 1, 2):
            raise ValueError(f"spatial_dim (={spatial_dim}) must be 0, 1 or 2")
        if isinstance(roi_size, Sequence) and len(roi_size) != 2:
            raise ValueError(f"roi_size (={roi_size}) must be one number or two, those of a slice")
        self.spatial_dim = spatial_dim
        self.slice_size: tuple[int, ...] = ensure_tuple_rep(roi_size, 2)
        super().__init__(
            self._with_axis(self.slice_size, 1),
            sw_batch_size,
            self._with_axis(ensure_tuple_rep(overlap, 2), 0.0),
            *args,
            **options,
        )

    @property
    def window_size(self) -> Any:
        """Voxels of a window in its slice."""
        return self.slice_size

    def on_windows(self, network: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a 2D network: from windows (B, C, *roi_size) to a list of tensors with the same axes."""
        dim = 2 + self.spatial_dim

        def run(windows: Tensor, *args: Any, **kwargs: Any) -> list[Tensor]:
            outputs = tensors(network(windows.squeeze(dim), *args, **kwargs))
            return [output.unsqueeze(dim) for output in outputs]

        return run

    def _with_axis(self, pair: Sequence[Any], entry: Any) -> tuple[Any, ...]:
        """Insert an entry for the slice axis."""
        return (*pair[: self.spatial_dim], entry, *pair[self.spatial_dim :])
