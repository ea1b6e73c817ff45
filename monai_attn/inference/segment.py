"""One scan to its labels, by the parts that a bundle names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer, SlidingWindowInferer
from monai.transforms import Compose
from numpy.typing import NDArray
from torch import Tensor

from monai_attn.data.volume import Volume, read_volume, same_grid, voxel_ml
from monai_attn.inference.windows import window_grid
from monai_attn.transforms import as_tensor, without

OnWindow = Callable[[int, int | None], None]
"""Called with the windows done and the windows in all, None where that is not known."""


@dataclass(frozen=True)
class Segmentation:
    """Labels (X, Y, Z) on the grid of the scan they were made from."""

    scan: Volume
    labels: NDArray[np.integer]

    @property
    def volumes_ml(self) -> dict[int, float]:
        """The volume in millilitres of each label that occurs, background left out."""
        counts = np.bincount(self.labels.ravel())
        voxel = voxel_ml(self.scan.affine)
        return {label: int(n) * voxel for label, n in enumerate(counts) if label > 0 and n > 0}


@dataclass(frozen=True)
class Segmenter:
    """Runs preprocessing, windows and postprocessing on one scan after the other.

    Args:
        preprocessing: from `image` to the network's input; transforms that load are left out, since
            `read_volume` reads and checks the scan.
        inferer: any MONAI inferer.
        network: any callable from (B, C, *roi) to logits.
        postprocessing: from logits under `pred` to labels on the scan's grid; transforms that save are
            left out.
        device: where the network lives.
    """

    preprocessing: Compose
    inferer: Inferer
    network: Callable[[Tensor], Any]
    postprocessing: Compose
    device: torch.device

    def __call__(self, path: str | Path, on_window: OnWindow | None = None) -> Segmentation:
        """Segment one NIfTI scan.

        Args:
            path: the scan.
            on_window: called before the first window and after each.

        Raises:
            ValueError: one line that names the file, if it cannot be read or its labels do not return to
                its grid.
        """
        scan = read_volume(path)
        prepare = without(self.preprocessing, "LoadImage")
        data = prepare({"image": as_tensor(scan)})
        image = data["image"][None].to(self.device)  # (1, C, *network grid)
        with torch.inference_mode():
            network = self._counted(image, on_window) if on_window else self.network
            data["pred"] = self.inferer(image, network)[0]
            data = without(self.postprocessing, "SaveImage")(data)
        labels = data["pred"]
        if labels.shape[1:] != scan.data.shape or not same_grid(
            scan.data.shape, np.asarray(labels.affine, dtype=np.float64), scan.affine
        ):
            raise ValueError(
                f"{path}: the bundle's postprocessing does not return to the scan's grid"
            )
        return Segmentation(scan, labels[0].cpu().numpy().astype(np.uint16))

    def _counted(self, image: Tensor, on_window: OnWindow) -> Callable[[Tensor], Any]:
        """The network, reporting each window it has seen."""
        total = None
        if isinstance(self.inferer, SlidingWindowInferer):
            total = len(window_grid(image.shape[2:], self.inferer.roi_size, self.inferer.overlap))
        done = 0
        on_window(done, total)

        def network(windows: Tensor) -> Any:
            nonlocal done
            logits = self.network(windows)
            done += windows.shape[0]
            on_window(done, total)
            return logits

        return network
