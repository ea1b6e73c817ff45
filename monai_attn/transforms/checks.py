"""Checks of scans and label maps before training and inference, as MONAI transforms."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai import transforms as T
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor

from monai_attn.datasets.channels import CT, read_channels
from monai_attn.datasets.ignore import IGNORED, check_ignore, no_known_voxel
from monai_attn.datasets.label_classes import mapped_labels
from monai_attn.datasets.regions import read_regions
from monai_attn.io.affine import shear_warning
from monai_attn.io.errors import ScanWarning
from monai_attn.io.grid import Grid
from monai_attn.io.hounsfield import NOTHING, extent_warnings, value_warnings
from monai_attn.io.labels import labels_of
from monai_attn.io.reorder import axis_order, reordered
from monai_attn.io.volume import Volume


class CheckScand(T.MapTransform):
    """A check that warns about a doubtful scan: not a CT in HU, wrong extent, or sheared axes.

    Args:
        keys: scans in the state in which they were read.
        channels: the channels, as `read_channels` takes them; by default one CT.
    """

    def __init__(self, keys: KeysCollection, channels: Sequence[Any] | None = None) -> None:
        super().__init__(keys)
        self.channels = read_channels(channels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check each key's scan (C, X, Y, Z) and return it unchanged; each doubt is a `ScanWarning`."""
        for key in self.key_iterator(dict(data)):
            scan, affine = data[key], np.asarray(data[key].affine, dtype=np.float64)
            name = scan.meta.get("filename_or_obj", key)
            doubts = []
            for volume, channel in zip(scan, self.channels or (CT,), strict=True):
                of = f"channel {channel.name}: " if len(scan) > 1 else ""
                found = value_warnings(volume.cpu().numpy(), affine, hu=channel.is_hu)
                doubts += [of + doubt for doubt in found]
            if NOTHING not in doubts:
                doubts += extent_warnings(scan.shape[1:], affine)
            for doubt in filter(None, [*doubts, shear_warning(affine)]):
                warnings.warn(f"{name}: {doubt}", ScanWarning, stacklevel=2)
        return dict(data)


class CheckLabeld(T.MapTransform):
    """A check of a label map against its image, which also maps its values to classes.

    Args:
        num_classes: number of classes, background included.
        label_map: class of each value in the file; other values stay. Keys may be strings, as in JSON.
        ignore: value that marks ignored voxels in the file; they become `IGNORED`.
        regions: as for `read_regions`. Then each of their values is a class, whatever `num_classes` is.

    Raises:
        ValueError: if the ignore value is also a class.
    """

    def __init__(
        self,
        num_classes: int,
        label_map: Mapping[str, int] | None = None,
        ignore: int | None = None,
        regions: Any = None,
    ) -> None:
        super().__init__("label")
        found = read_regions(regions)
        if ignore is not None:
            check_ignore(ignore, mapped_labels(num_classes, label_map or {}, found))
        self.classes = tuple(range(num_classes)) if found is None else (0, *found.known_values)
        self.label_map = {float(value): int(to) for value, to in (label_map or {}).items()}
        self.ignore = ignore

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check and map `label` (1, X, Y, Z), which lies on the grid of `image` in any order of axes.

        Raises:
            ValueError: if the grids differ, a value is no label or not a class, or every voxel is ignored.
        """
        name = str(data["label"].meta.get("filename_or_obj", "label"))
        label = _labels_like(data["label"], data["image"])
        values = label.unique().tolist()
        if self.ignore is not None and values == [self.ignore]:
            raise ValueError(no_known_voxel(name, self.ignore))
        classes = {v: self.label_map.get(v, v) for v in values if v != self.ignore}
        wrong = [f"{value:g}" for value, to in classes.items() if to not in self.classes]
        if wrong:
            known = (
                f"0 to {self.classes[-1]}"
                if self.classes == tuple(range(len(self.classes)))
                else ", ".join(map(str, self.classes))
            )
            raise ValueError(
                f"{name}: unknown label values (got {', '.join(wrong)}, expected classes {known}). "
                "Map the values with label_map, or raise num_classes."
            )
        mapped = label.clone()
        for value, to in classes.items():
            mapped[label == value] = to
        if self.ignore is not None:
            mapped[label == self.ignore] = IGNORED
        return {**data, "label": mapped}


def _labels_like(label: MetaTensor, image: MetaTensor) -> MetaTensor:
    """Return a label map's whole numbers (1, X, Y, Z) in the order of axes of its image.

    Raises:
        ValueError: if the grids differ in more than this order, or a value is no label.
    """
    label_grid, image_grid = (
        Grid(
            tuple(volume.shape[1:]),
            np.asarray(volume.affine, np.float64),
            1,
            Path(str(volume.meta.get("filename_or_obj", key))),
        )
        for key, volume in (("label", label), ("image", image))
    )
    if axis_order(label_grid, image_grid) is None:
        raise ValueError(
            f"{label_grid.path}: is not on the grid of {image_grid.path}. Resample the labels to it, by "
            "nearest neighbour."
        )
    volume = reordered(Volume(**vars(label_grid), data=label[0].cpu().numpy()), image_grid)
    values = torch.from_numpy(labels_of(volume)[None]).to(label.dtype)
    return MetaTensor(values, meta={**label.meta, "affine": image.affine})


class CheckKnownd(T.MapTransform):
    """A check that a label map still has a known voxel after resampling, so that a window can be centred.

    Args:
        keys: label maps in which `IGNORED` marks ignored voxels.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check each key's label map and return it unchanged.

        Raises:
            ValueError: if every voxel is ignored.
        """
        for key in self.key_iterator(dict(data)):
            if bool((data[key] == IGNORED).all()):
                name = data[key].meta.get("filename_or_obj", key)
                raise ValueError(no_known_voxel_on_grid(name))
        return dict(data)


def no_known_voxel_on_grid(path: str) -> str:
    """Return the error text for a label map whose known voxels are lost by resampling."""
    return (
        f"{path}: every voxel is ignored on the network's grid, which misses the known slices. Choose a "
        "finer spacing, or leave out the case."
    )
