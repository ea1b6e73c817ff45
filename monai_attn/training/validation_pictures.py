"""Pictures of a validation case in TensorBoard: image, reference, labels and attention."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Trainer
from monai.networks.utils import eval_mode
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from monai_attn.datasets.ignore import IGNORED
from monai_attn.io.errors import reason
from monai_attn.io.names import case_name
from monai_attn.reporting.slice_pictures import slice_picture
from monai_attn.training.checkpoints import unwrapped
from monai_attn.training.history import History
from monai_attn.transforms.plain_tensor import plain_tensor

SLICES = 3  # the axis, of (C, X, Y, Z), along which slices follow each other


class ValidationPictures:
    """A handler for MONAI's trainer that writes a picture of a case to TensorBoard at each validation.

    It shows the first case that the first process validates, in the slice with the largest area of the
    reference, and so the same slice each time: image, outlines of the reference and of the labels, and the
    attention of the finest gate. Labels are those of the validation. For the attention only the windows that
    hold the slice run once more. After a fault in a picture there are no more, and a warning says so.

    Args:
        history: history of the same training; its validator and its events are used.
        network: the network that is trained, in every process alike.
        roi_size: voxels of a window: three numbers, or two for a network that goes slice by slice.
        spacing: voxel size of the network's grid, mm.
    """

    def __init__(
        self,
        history: History,
        network: nn.Module,
        roi_size: Sequence[int],
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        self.history = history
        self.network = unwrapped(network)
        self.thickness = int(roi_size[2]) if len(roi_size) == SLICES else 1
        self.spacing = (float(spacing[0]), float(spacing[1]))

    def attach(self, engine: Trainer) -> None:
        """Attach to the validator of a trainer's history."""
        self.history.validator.add_event_handler(Events.ITERATION_COMPLETED, self._draw)

    def _draw(self, validator: Any) -> None:
        is_first = (validator.state.iteration - 1) % validator.state.epoch_length == 0
        if not is_first or idist.get_rank() > 0:
            return
        try:
            name, pixels = self._picture(validator)
            events = self.history.events(validator.state.epoch)
            events.add_image(f"validation/{name}", pixels, validator.state.epoch, dataformats="HWC")
        except Exception as error:  # a picture must not end days of training
            validator.remove_event_handler(self._draw, Events.ITERATION_COMPLETED)
            place = f"{self.history.folder}: epoch {validator.state.epoch}"
            warnings.warn(
                f"{place}: no picture of a validation case in TensorBoard ({reason(error)})",
                stacklevel=2,
            )

    def _picture(self, validator: Any) -> tuple[str, NDArray[np.uint8]]:
        """Return the name of the case and its picture."""
        case = validator.state.output[0]
        image = _with_slices(case["image"])
        reference, labels = (_label_map(_with_slices(case[key])) for key in ("label", "pred"))
        at = _largest(reference, labels)
        attention = self._attention(validator, case["image"], at)
        shown = image[len(image) // 2, :, :, at]  # the middle one of several slices
        return _name(validator), slice_picture(
            np.asarray(shown.float().cpu()),
            reference[..., at],
            labels[..., at],
            attention,
            self.spacing,
        )

    def _attention(self, validator: Any, image: Tensor, at: int) -> NDArray[np.floating] | None:
        """Return the attention (X, Y) of the finest gate in a slice; None for a network without gates."""
        if not getattr(self.network, "gated_levels", ()):
            return None
        has_slices = image.ndim > SLICES
        plain = torch.as_tensor(plain_tensor(image), device=validator.state.device)
        start = 0
        if has_slices:
            start = min(
                max(at - self.thickness // 2, 0), max(image.shape[SLICES] - self.thickness, 0)
            )
            plain = plain[..., start : start + self.thickness]
        devices = [plain.device] if plain.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad(), eval_mode(self.network):
            found = validator.inferer(plain[None], _FinestAttention(self.network))[0, 0]
        values = np.asarray(found.float().cpu())
        return values[..., at - start] if has_slices else values


class _FinestAttention(nn.Module):
    """The attention of a network's finest gate as its only output, so that any inferer stitches it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the attention (B, 1, *spatial) of windows (B, C, *spatial)."""
        _, maps = self.network.forward_with_attention(x)  # type: ignore[operator]
        return F.interpolate(maps[0].float(), size=x.shape[2:], mode="nearest-exact")


def _with_slices(values: Tensor) -> Tensor:
    """Return (C, X, Y, Z) for values (C, X, Y) or (C, X, Y, Z)."""
    plain = plain_tensor(values)
    return plain if plain.ndim > SLICES else plain[..., None]


def _label_map(values: Tensor) -> NDArray[np.integer]:
    """Return labels (X, Y, Z) of a label map (1, X, Y, Z), or of masks that may overlap (C, X, Y, Z)."""
    array = np.asarray(values.cpu()).astype(np.int32)
    if len(array) == 1:
        return np.where(array[0] == IGNORED, 0, array[0])
    numbers = np.arange(1, len(array) + 1).reshape(-1, 1, 1, 1)
    return np.where(array == 1, numbers, 0).max(axis=0)


def _largest(reference: NDArray[np.integer], labels: NDArray[np.integer]) -> int:
    """Return the slice with the largest area of the reference, or else of the labels, or the middle."""
    for marked in (reference, labels):
        areas = np.count_nonzero(marked, axis=(0, 1))
        if areas.any():
            return int(areas.argmax())
    return reference.shape[2] // 2


def _name(validator: Any) -> str:
    """Return the name of the first case, after its label map; the tensors of a cache have no names."""
    dataset = validator.state.dataloader.dataset
    return case_name(str(dataset.data[0]["label"]))
