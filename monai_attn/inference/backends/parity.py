"""Comparison of a backend's outputs with those of torch on one window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

BLOB = 16  # voxels from one bright or dark patch of the window to the next, about an organ at 2 mm
NOISE = 0.02  # about 8 HU in a range of 400 HU
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}

# Limits: the error of the logits, and the share of voxels with another label.
#
# float32: 2e-7 was measured with OpenVINO and ONNX Runtime. 1e-3 allows TF32, in which GPUs multiply by
# default and which rounds to 5e-4.
# bfloat16 rounds to 4e-3. With the pancreas bundle the logits were off by up to 8e-3, on this window and
# on real and phantom CT, and at most 2e-5 of the voxels changed. A resize with aligned corners, where
# the network has none, was off by 6e-2. The labels allow for a network before its training: its logits
# nearly tie, and 3e-3 of the voxels changed.
#
# int8 rounds to 1/256 of each layer's range: 4e-2 was measured with the pancreas network, and 5e-4 of the
# labels. So these limits only reveal the file of another network.
# The measured Dice tells how good int8 is, see `bundle.int8`.
BOUNDS = {"float32": (1e-3, 1e-4), "bfloat16": (2e-2, 1e-2), "int8": (0.1, 1e-2)}


@dataclass(frozen=True)
class Parity:
    """The difference of outputs from those of eager float32.

    Attributes:
        error: norm of the difference over the norm of the reference, for the worst output.
        labels: share of the voxels (0 to 1) whose label differs.
    """

    error: float
    labels: float

    def agrees(self, precision: str) -> bool:
        """Return whether the difference is only rounding in this precision."""
        error, labels = BOUNDS[precision]
        return self.error <= error and self.labels <= labels  # false for NaN

    def describe(self, precision: str) -> str:
        """Describe the difference and its limits in one line."""
        error, labels = BOUNDS[precision]
        return (
            f"differs from eager float32 on a test window: outputs by {self.error:.2g} ({error:g} allowed),"
            f" the label of {self.labels:.2g} of the voxels ({labels:g} allowed)"
        )


def compare(outputs: Sequence[Tensor], reference: Sequence[Tensor]) -> Parity:
    """Measure the difference of outputs, logits (B, C, *spatial) first, from the reference.

    With one channel the label is the sign of the logit.
    """
    if [level.shape for level in outputs] != [level.shape for level in reference]:
        return Parity(inf, 1.0)
    pairs = list(zip(outputs, reference, strict=True))
    # An output of zeros is compared as it is, not divided by its norm.
    error = max(float((a - b).norm() / (b.norm() or 1.0)) for a, b in pairs)
    return Parity(error, float((_labels(outputs[0]) != _labels(reference[0])).float().mean()))


def _labels(logits: Tensor) -> Tensor:
    return logits.argmax(1) if logits.shape[1] > 1 else logits > 0


def synthetic_window(window: tuple[int, ...]) -> Tensor:
    """Return a window (1, C, *roi) in 0 to 1, always the same: smooth patches and noise, as in a scan."""
    channels, *roi = window
    generator = torch.Generator().manual_seed(0)
    coarse = [-(-n // BLOB) + 1 for n in roi]
    patches = torch.rand(1, channels, *coarse, generator=generator)
    smooth = F.interpolate(patches, roi, mode=MODES[len(roi)], align_corners=True)
    return (smooth + NOISE * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
