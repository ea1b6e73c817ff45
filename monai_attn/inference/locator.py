"""Hard attention over windows: a coarse network on the whole volume selects the region to segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from monai_attn.inference.weights import load_weights
from monai_attn.io.digests import file_sha256
from monai_attn.transforms.resample import Axis, resample

# Bytes for each voxel of the coarse grid, like `plan.ACTIVATIONS`, for a network with 8 channels.
LOCATING = 350


@dataclass(frozen=True)
class Region:
    """The region of an image to segment at full resolution.

    Attributes:
        mask: (*spatial) bool, coarser than the image; None if the result is not reliable.
        fault: reason why it is not reliable, or empty.
        volume_ml: volume of the found foreground, before the margin is added.
        extent_mm: edge lengths of its bounding box.
    """

    mask: Tensor | None
    fault: str = ""
    volume_ml: float = 0.0
    extent_mm: tuple[float, ...] = ()


class Locator:
    """A small network that sees the whole volume at once and finds the rough position of the foreground.

    Args:
        network: from (1, C, *coarse) to logits (1, K, *coarse); class 0 is the background.
        weights: file of the network's weights, read at the first call. If it is missing, as in an archive
            with only one file, nothing is located.
        partner: file of the segmentation network's weights, and its SHA-256 when the locator was trained.
            With other weights, which may be for another organ, nothing is located.
        image_spacing: spacing of the input images, mm.
        spacing: spacing of the coarse grid that it was trained on, mm.
        threshold: lowest probability of a foreground voxel.
        margin: dilation of the found foreground, mm.
        volume_range: range of plausible volumes, ml.
        extent_range: range of plausible edge lengths of the bounding box along each axis, mm.

    Raises:
        ValueError: if the weights cannot be read or do not fit.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: str | Path | None = None,
        *,
        partner: tuple[str | Path, str] | None = None,
        image_spacing: Sequence[float],
        spacing: Sequence[float],
        threshold: float,
        margin: float,
        volume_range: tuple[float, float],
        extent_range: Sequence[tuple[float, float]],
    ) -> None:
        self.network = network.eval()
        self.weights = weights
        self.partner = partner
        self.image_spacing = tuple(image_spacing)
        self.spacing = tuple(spacing)
        self.threshold = threshold
        self.margin = margin
        self.volume_range = volume_range
        self.extent_range = extent_range

    def __call__(self, image: Tensor) -> Region:
        """Return the region of an image (1, C, *spatial), whose intensities are scaled as in training."""
        fault = self.fault
        if fault:
            return Region(None, fault)
        with torch.inference_mode():
            found = self.probability(image) >= self.threshold
        return self.region(found)

    @property
    def fault(self) -> str:
        """The reason why the locator cannot be used with any image, or empty."""
        if self.weights is not None and not Path(self.weights).is_file():
            return f"the locator's weights {self.weights} are missing"
        if self.partner is not None:
            path, digest = Path(self.partner[0]), self.partner[1]
            if not path.is_file() or file_sha256(path) != digest:
                return f"the locator was not made for {path}; train one, or use mode full"
        return ""

    def probability(self, image: Tensor) -> Tensor:
        """Return the foreground probability (*coarse) of an image (1, C, *spatial)."""
        if self.weights is not None:
            load_weights(self.network, Path(self.weights), image.device)
            self.weights = None
        steps = [
            fine / coarse for fine, coarse in zip(self.spacing, self.image_spacing, strict=True)
        ]
        axes = [
            Axis(i, 0.0, step, int((n - 1) / step) + 1)
            for i, (n, step) in enumerate(zip(image.shape[2:], steps, strict=True))
        ]
        coarse = resample(image[0], axes)[None]
        layout = (
            torch.channels_last_3d if image.ndim == 5 else torch.channels_last
        )  # a third faster
        logits = self.network.to(image.device).to(memory_format=layout)(coarse)  # type: ignore[call-overload]
        return 1 - logits[0].softmax(dim=0)[0]

    def memory(self, grid: Sequence[int]) -> int:
        """Return the bytes that locating takes in an image with this many voxels along each axis."""
        steps = [
            fine / coarse for fine, coarse in zip(self.spacing, self.image_spacing, strict=True)
        ]
        return int(LOCATING * np.prod(np.divide(grid, steps)))

    def region(self, found: Tensor) -> Region:
        """Return the largest found part with its margin, if it is plausible.

        Parts that the margin does not join are separate; the part with most found voxels is used.
        """
        if not found.any():
            return Region(None, "the locator found nothing")
        parts, _ = ndimage.label(self._dilated(found).cpu().numpy(), np.ones((3,) * found.ndim))
        here = found.cpu().numpy()
        main = parts == np.bincount(parts[here]).argmax()
        here = here & main
        volume = float(here.sum() * np.prod(self.spacing) / 1000)
        edges = ndimage.find_objects(here.astype(np.uint8))[0]
        extent = tuple((s.stop - s.start) * mm for s, mm in zip(edges, self.spacing, strict=True))
        fault = _outside("volume", volume, self.volume_range, "ml")
        for axis, (edge, allowed) in enumerate(zip(extent, self.extent_range, strict=True)):
            fault = fault or _outside(f"extent along axis {axis}", edge, allowed, "mm")
        if fault:
            return Region(None, fault, volume, extent)
        return Region(torch.from_numpy(main), "", volume, extent)

    def _dilated(self, mask: Tensor) -> Tensor:
        """Return the mask dilated by the margin, with the shape of a box, like windows."""
        grown = mask.float()
        for axis, mm in enumerate(self.spacing):  # one axis after the other gives the same box
            reach = round(self.margin / mm)
            lines = grown.movedim(axis, -1)
            pooled = F.max_pool1d(
                lines.reshape(1, -1, lines.shape[-1]), 2 * reach + 1, stride=1, padding=reach
            )
            grown = pooled.reshape(lines.shape).movedim(-1, axis)
        return grown > 0


def _outside(name: str, value: float, allowed: tuple[float, float], unit: str) -> str:
    low, high = allowed
    if low <= value <= high:
        return ""
    return f"the locator's {name} of {value:.0f} {unit} is not within {low:g} to {high:g} {unit}"
