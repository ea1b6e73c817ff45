"""MONAI's reader and writer interfaces over this package's reading and writing of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import PathLike
from monai.data.image_reader import ImageReader
from monai.data.image_writer import ImageWriter
from monai.data.meta_tensor import MetaTensor

from monai_attn.datasets.channels import CT, Channel, read_channels
from monai_attn.io.channels import files_of, open_channels
from monai_attn.io.grid import Grid, same_grid
from monai_attn.io.scan import AIR, Scan
from monai_attn.io.volume import Volume
from monai_attn.io.writer import write_labels, write_map


class VolumeReader(ImageReader):
    """MONAI's reader interface over `open_channels`: its checks, and nibabel's affine without repairs.

    MONAI's own NIfTI reader prefers an invalid qform to a sound sform and makes a singular affine
    plausible.

    Args:
        channels: the channels of an image, as `read_channels` takes them; by default one CT.
    """

    def __init__(self, channels: Sequence[Any] | None = None) -> None:
        super().__init__()
        self.channels = read_channels(channels) or (CT,)

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Accept any file: an invalid one is then refused here, and not passed to an unchecked reader."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Volume | list[Volume]:
        """Read the file of each channel, or one file with all of them.

        Raises:
            ValueError: as `open_channels` and `Scan.read`.
        """
        names = [channel.name for channel in self.channels]
        volumes = read_channel_volumes(open_channels(files_of(data), names), self.channels)
        return volumes[0] if len(volumes) == 1 else volumes

    def get_data(self, img: Volume | Sequence[Volume]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the voxels (X, Y, Z), or (C, X, Y, Z), and the metadata that MONAI's transforms need."""
        volumes = [img] if isinstance(img, Volume) else img
        data = volumes[0].data if len(volumes) == 1 else np.stack([one.data for one in volumes])
        img = volumes[0]
        meta = {
            "affine": img.affine.copy(),
            "original_affine": img.affine.copy(),
            "spatial_shape": np.array(img.data.shape),
            "space": "RAS",
            "original_channel_dim": "no_channel" if len(volumes) == 1 else 0,
            "form_code": img.form_code,
            "trailing": img.trailing,
        }
        return data, meta if img.qform is None else {**meta, "qform": img.qform.copy()}


class LabelWriter(ImageWriter):
    """MONAI's writer interface over `write_labels`: only complete files, only on the scan's own grid."""

    def __init__(self, output_dtype: Any = np.uint8, **kwargs: Any) -> None:
        super().__init__(output_dtype=output_dtype, **kwargs)

    def set_data_array(self, data_array: Any, channel_dim: int | None = 0, **kwargs: Any) -> None:
        """Take labels (1, X, Y, Z) or, without a channel, (X, Y, Z)."""
        labels = np.asarray(data_array)
        self.data_obj = labels if channel_dim is None else labels.squeeze(channel_dim)

    def set_metadata(
        self, meta_dict: Mapping | None, resample: bool = True, **options: Any
    ) -> None:
        """Take the affine; refuse labels that no longer lie on the grid of the scan.

        Raises:
            ValueError: if the labels are not on the grid of the scan's file.
        """
        meta = meta_dict or {}
        name = meta.get("filename_or_obj", "labels")
        shape = tuple(int(n) for n in meta["spatial_shape"])
        self.affine = np.asarray(meta["original_affine"], dtype=np.float64)
        if self.data_obj.shape != shape or not same_grid(
            shape, np.asarray(meta["affine"], dtype=np.float64), self.affine
        ):
            raise ValueError(
                f"{name}: the labels are not on the scan's grid. Invert the transforms first."
            )
        self.scan = Grid(
            shape,
            self.affine,
            int(meta.get("form_code", 1)),
            Path(name),
            trailing=int(meta.get("trailing", 0)),
            qform=np.asarray(meta["qform"]) if "qform" in meta else None,
        )

    def write(self, filename: PathLike, verbose: bool = False, **kwargs: Any) -> None:
        """Write the file with `write_labels`."""
        write_labels(Path(filename), self.data_obj, self.scan, dtype=self.output_dtype)


class MapWriter(LabelWriter):
    """MONAI's writer interface over `write_map`, for maps of 0 to 1 that are stored as bytes."""

    def write(self, filename: PathLike, verbose: bool = False, **kwargs: Any) -> None:
        """Write the file with `write_map`."""
        stored = np.asarray(self.data_obj, np.uint8)
        write_map(Path(filename), stored, self.scan)


def read_channel_volumes(scan: Scan, channels: Sequence[Channel]) -> list[Volume]:
    """Read the volume of each channel; a voxel without a finite value becomes air, or 0 if it is not HU."""
    return [
        part.read(fill=AIR if channel.is_hu else 0.0, stacklevel=2)
        for part, channel in zip(scan.channels, channels, strict=True)
    ]


def as_tensor(*volumes: Volume) -> MetaTensor:
    """Convert a volume to the tensor (X, Y, Z) with metadata that `LoadImaged` makes of its file.

    Several volumes are channels on one grid, (C, X, Y, Z).
    """
    data, meta = VolumeReader().get_data(volumes)
    path = str(volumes[0].path)
    return MetaTensor(torch.from_numpy(data), meta={**meta, "filename_or_obj": path})
