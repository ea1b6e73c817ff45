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

from monai_attn.io.grid import Grid, same_grid
from monai_attn.io.scan import read_volume
from monai_attn.io.volume import Volume
from monai_attn.io.writer import write_labels, write_map


class VolumeReader(ImageReader):
    """MONAI's reader interface over `read_volume`: its checks, and nibabel's affine without repairs.

    MONAI's own NIfTI reader prefers an invalid qform to a sound sform and makes a singular affine
    plausible.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Accept any file: an invalid one is then refused here, and not passed to an unchecked reader."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Volume:
        """Read one file.

        Raises:
            ValueError: as `read_volume`, or if there are several files.
        """
        names = [data] if isinstance(data, (str, Path)) else list(data)
        if len(names) != 1:
            raise ValueError(f"{names}: {len(names)} files for one image (expected one scan)")
        return read_volume(str(names[0]))

    def get_data(self, img: Volume) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the voxels (X, Y, Z) and the metadata that MONAI's spatial transforms need."""
        meta = {
            "affine": img.affine.copy(),
            "original_affine": img.affine.copy(),
            "spatial_shape": np.array(img.data.shape),
            "space": "RAS",
            "original_channel_dim": "no_channel",
            "form_code": img.form_code,
            "trailing": img.trailing,
        }
        return img.data, meta if img.qform is None else {**meta, "qform": img.qform.copy()}


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


def as_tensor(volume: Volume) -> MetaTensor:
    """Convert a volume to the tensor (X, Y, Z) with metadata that `LoadImaged` makes of its file."""
    data, meta = VolumeReader().get_data(volume)
    return MetaTensor(torch.from_numpy(data), meta={**meta, "filename_or_obj": str(volume.path)})
