"""From a scan to the network's input and back: one definition for training, evaluation and inference.

Each function returns a `monai.transforms.Compose`, so that bundle configs stay plain values and every
client that looks for MONAI's own loading and saving transforms finds them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai import transforms as T
from monai.config import KeysCollection, PathLike
from monai.data.image_reader import ImageReader
from monai.data.image_writer import ImageWriter
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

from monai_attn.data.volume import SUFFIXES, Volume, read_volume, same_grid, save_nifti


class VolumeReader(ImageReader):
    """MONAI's reader interface over `read_volume`: its checks, and nibabel's affine without repairs.

    MONAI's own NIfTI reader prefers an invalid qform to a sound sform and makes a singular affine
    plausible.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether all files are NIfTI by name."""
        names = [filename] if isinstance(filename, (str, Path)) else list(filename)
        return all(str(name).lower().endswith(SUFFIXES) for name in names)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Volume:
        """Read one file; ValueError as `read_volume`."""
        names = [data] if isinstance(data, (str, Path)) else list(data)
        if len(names) != 1:
            raise ValueError(f"{names}: one NIfTI file is expected for one image")
        return read_volume(str(names[0]))

    def get_data(self, img: Volume) -> tuple[np.ndarray, dict[str, Any]]:
        """The voxels (X, Y, Z) and the metadata MONAI's spatial transforms need."""
        return img.data, {
            "affine": img.affine.copy(),
            "original_affine": img.affine.copy(),
            "spatial_shape": np.array(img.data.shape),
            "space": "RAS",
            "original_channel_dim": "no_channel",
            "form_code": img.form_code,
        }


class LabelWriter(ImageWriter):
    """MONAI's writer interface over `save_nifti`: whole files only, and only on the scan's own grid."""

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
            ValueError: if the labels are not on the grid the scan was read from.
        """
        meta = meta_dict or {}
        name = meta.get("filename_or_obj", "labels")
        shape = tuple(int(n) for n in meta["spatial_shape"])
        self.affine = np.asarray(meta["original_affine"], dtype=np.float64)
        if self.data_obj.shape != shape or not same_grid(
            shape, np.asarray(meta["affine"], dtype=np.float64), self.affine
        ):
            raise ValueError(f"{name}: the labels are not on the scan's grid; invert them first")
        self.form_code = int(meta.get("form_code", 1))
        self.scan = Path(name)

    def write(self, filename: PathLike, verbose: bool = False, **kwargs: Any) -> None:
        """Write the file, as `save_nifti`."""
        save_nifti(
            Path(filename),
            self.data_obj,
            self.affine,
            scan=self.scan,
            form_code=self.form_code,
            dtype=self.output_dtype,
        )


def as_tensor(volume: Volume) -> MetaTensor:
    """What `LoadImaged` makes of the volume's file: (X, Y, Z), with its metadata."""
    data, meta = VolumeReader().get_data(volume)
    return MetaTensor(torch.from_numpy(data), meta={**meta, "filename_or_obj": str(volume.path)})


def without(steps: T.Compose, name: str) -> T.Compose:
    """The steps without those whose class name contains `name`, such as "LoadImage" or "SaveImage"."""
    return T.Compose([step for step in steps.transforms if name not in type(step).__name__])


class ResampleSpacingd(T.Spacingd):
    """`Spacingd` that touches its own keys only.

    MONAI's updates every entry whose name begins with `image_`, and fails on the string that MONAI
    Label passes under `image_path`.
    """

    def __call__(
        self, data: Mapping[Hashable, Tensor], lazy: bool | None = None
    ) -> dict[Hashable, Tensor]:
        """Resample the keys' volumes (C, *spatial) to the spacing in mm."""
        own = {key: data[key] for key in self.key_iterator(dict(data))}
        return {**data, **super().__call__(own, lazy)}


class CheckLabeld(T.MapTransform):
    """Checks a label against its image and maps its values to classes.

    Args:
        num_classes: classes, background included.
        label_map: value in the file to class; values not named stay. Keys may be strings, as in JSON.
    """

    def __init__(self, num_classes: int, label_map: Mapping[str, int] | None = None) -> None:
        super().__init__("label")
        self.num_classes = num_classes
        self.label_map = {float(value): int(to) for value, to in (label_map or {}).items()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check and map `label` (1, X, Y, Z), which lies on the grid of `image`.

        Raises:
            ValueError: if the two are not on one grid, or a value is no class.
        """
        image, label = data["image"], data["label"]
        names = [str(volume.meta.get("filename_or_obj", "label")) for volume in (label, image)]
        if label.shape[1:] != image.shape[1:] or not same_grid(
            tuple(image.shape[1:]), np.asarray(label.affine), np.asarray(image.affine)
        ):
            raise ValueError(
                f"{names[0]}: is not on the grid of {names[1]}; resample the label to it"
            )
        classes = {value: self.label_map.get(value, value) for value in label.unique().tolist()}
        last = self.num_classes - 1
        wrong = [f"{value:g}" for value, to in classes.items() if to not in range(last + 1)]
        if wrong:
            raise ValueError(
                f"{names[0]}: holds {', '.join(wrong)}; classes are 0 to {last}: "
                "map the values with label_map, or raise num_classes"
            )
        mapped = label.clone()
        for value, to in classes.items():
            mapped[label == value] = to
        return {**data, "label": mapped}


def load(keys: KeysCollection) -> list[T.Transform]:
    """Read each key's file into a float32 volume (1, X, Y, Z)."""
    reader = T.LoadImaged(keys, image_only=True)
    reader.register(VolumeReader())
    return [reader, T.EnsureChannelFirstd(keys)]


def load_case(num_classes: int, label_map: Mapping[str, int] | None) -> list[T.Transform]:
    """Read `image` and `label`, check that they belong together, and map label values to classes."""
    return [*load(("image", "label")), CheckLabeld(num_classes, label_map)]


def to_network_grid(
    keys: Sequence[str], spacing: Sequence[float], intensity_range: Sequence[float]
) -> list[T.Transform]:
    """Bring `image`, and `label` if it is a key, to RAS order and `spacing`; scale HU to 0..1."""
    modes, types = ("bilinear", "nearest"), (torch.float32, torch.uint8)
    low, high = intensity_range
    return [
        T.Orientationd(keys, axcodes="RAS", labels=None),
        ResampleSpacingd(keys, pixdim=spacing, mode=modes[: len(keys)]),
        T.ScaleIntensityRanged("image", low, high, 0.0, 1.0, clip=True),
        T.EnsureTyped(keys, dtype=types[: len(keys)]),
    ]


def preprocessing(spacing: Sequence[float], intensity_range: Sequence[float]) -> T.Compose:
    """What inference does to `image`, a path: RAS, `spacing` in mm, `intensity_range` in HU to 0..1."""
    return T.Compose([*load("image"), *to_network_grid(("image",), spacing, intensity_range)])


def evaluation(
    spacing: Sequence[float],
    intensity_range: Sequence[float],
    num_classes: int = 2,
    label_map: Mapping[str, int] | None = None,
) -> T.Compose:
    """As `preprocessing`, with `label` loaded beside it and left on the scan's own grid."""
    case = load_case(num_classes, label_map)
    return T.Compose([*case, *to_network_grid(("image",), spacing, intensity_range)])


def validation(
    spacing: Sequence[float],
    intensity_range: Sequence[float],
    num_classes: int = 2,
    label_map: Mapping[str, int] | None = None,
) -> T.Compose:
    """As `preprocessing`, with `label` on the network's grid too: quick enough for every epoch."""
    case = load_case(num_classes, label_map)
    return T.Compose([*case, *to_network_grid(("image", "label"), spacing, intensity_range)])


def training(
    spacing: Sequence[float],
    intensity_range: Sequence[float],
    roi_size: Sequence[int],
    num_samples: int = 2,
    num_classes: int = 2,
    label_map: Mapping[str, int] | None = None,
) -> T.Compose:
    """As `validation`, then `num_samples` random windows of `roi_size` voxels with CT augmentation.

    Half of the windows are centred on the foreground. No flips: left and right are not alike in an
    abdomen. The random part starts with the cropping, so a caching data set keeps what is before it.
    """
    keys = ("image", "label")
    modes = ("bilinear", "nearest")
    augment = [
        T.SpatialPadd(keys, roi_size),
        T.RandCropByPosNegLabeld(
            keys, label_key="label", spatial_size=roi_size, pos=1, neg=1, num_samples=num_samples
        ),
        T.RandAffined(
            keys,
            prob=0.3,
            rotate_range=[0.17] * len(roi_size),  # radians, about 10 degrees
            scale_range=[0.1] * len(roi_size),
            mode=modes,
            padding_mode="border",
        ),
        T.RandScaleIntensityd("image", factors=0.1, prob=0.3),
        T.RandShiftIntensityd("image", offsets=0.05, prob=0.3),  # 20 HU of a window of 400
        T.RandGaussianNoised("image", prob=0.2, std=0.03),
        T.RandGaussianSmoothd("image", prob=0.1, sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8)),
    ]
    steady = validation(spacing, intensity_range, num_classes, label_map).transforms
    # RandAffined gives the label back as float32
    plain = T.EnsureTyped(keys, dtype=(torch.float32, torch.uint8), track_meta=False)
    return T.Compose([*steady, *augment, plain])


class Discreted(T.MapTransform):
    """Logits (C, *spatial) to labels (1, *spatial); of a deeply supervised list the finest entry."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's logits by their argmax."""
        out = dict(data)
        for key in self.key_iterator(out):
            logits = out[key][0] if isinstance(out[key], (list, tuple)) else out[key]
            out[key] = logits.argmax(dim=0, keepdim=True)
        return out


def discretize() -> T.Compose:
    """Logits under `pred` to labels, on the grid they are on: for metrics during training."""
    return T.Compose([Discreted("pred")])


def to_scan_grid(inverse_of: T.Compose) -> list[T.Transform]:
    """Logits (C, *spatial) under `pred` to labels (1, X, Y, Z) on the grid the image was read from.

    Probabilities are resampled, not labels: the boundary stays smooth.
    """
    return [
        T.Activationsd("pred", softmax=True),
        T.Invertd("pred", transform=inverse_of, orig_keys="image", nearest_interp=False),
        T.AsDiscreted("pred", argmax=True),
    ]


def postprocessing(
    inverse_of: T.Compose,
    output_dir: str,
    output_postfix: str = "seg",
    output_ext: str = ".nii.gz",
    output_dtype: str = "uint8",
    separate_folder: bool = False,
) -> T.Compose:
    """Labels on the scan's own grid, written as `output_dir/NAME_seg.nii.gz`."""
    save = T.SaveImaged(
        "pred",
        output_dir=output_dir,
        output_postfix=output_postfix,
        output_ext=output_ext,
        output_dtype=output_dtype,
        separate_folder=separate_folder,
        resample=False,
        writer=LabelWriter,
        print_log=False,
    )
    return T.Compose([*to_scan_grid(inverse_of), save])
