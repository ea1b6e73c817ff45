"""From a scan to the network's input and back: one definition for training, evaluation and inference.

Each function returns a `monai.transforms.Compose`, so that bundle configs stay plain values and every
client that looks for MONAI's own loading and saving transforms finds them.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai import transforms as T
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import compute_shape_offset, zoom_affine
from monai.utils import TraceKeys, ensure_tuple_rep
from numpy.typing import NDArray

from monai_attn.data.affine import shear_doubt, spaced
from monai_attn.data.errors import ScanWarning
from monai_attn.data.grid import same_grid
from monai_attn.data.hounsfield import doubts
from monai_attn.data.nifti_header import MOST_VOXELS
from monai_attn.monai_io import LabelWriter, VolumeReader
from monai_attn.resample import resample_onto
from monai_attn.scan_grid import Slab, labels_on_grid, maps_on_grid


def without(steps: T.Compose, name: str) -> T.Compose:
    """The steps without those whose class name contains `name`, such as "LoadImage" or "SaveImage"."""
    return T.Compose([step for step in steps.transforms if name not in type(step).__name__])


def ras_grid(
    shape: Sequence[int], affine: NDArray[np.float64], spacing: Sequence[float]
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """The grid that `Orientation` to RAS and `Spacing` lead to, as MONAI lays it.

    Args:
        shape: (X, Y, Z) voxels.
        affine: (4, 4), voxel to RAS+ mm.
        spacing: mm along each axis of the new grid.

    Returns:
        its shape, and its affine: voxel to RAS+ mm.

    Raises:
        ValueError: if it would have more voxels than any scan.
    """
    turn = nib.io_orientation(affine)
    turned = affine @ nib.orientations.inv_ornt_aff(turn, shape)
    sizes = np.empty(len(shape), dtype=int)
    sizes[turn[:, 0].astype(int)] = shape
    target = zoom_affine(turned, np.asarray(spacing, dtype=np.float64), diagonal=False)
    new_shape, offset = compute_shape_offset(tuple(sizes), turned, target)
    target[:-1, -1] = offset[: len(shape)]
    voxels = math.prod(int(n) for n in new_shape)
    if voxels > MOST_VOXELS:
        raise ValueError(
            f"{voxels} voxels after resampling to {spaced(np.asarray(spacing))} mm; "
            f"at most {MOST_VOXELS} expected: crop the scan, or mend its spacing"
        )
    return tuple(int(n) for n in new_shape), target


class ResampleRASd(T.MapTransform, T.InvertibleTransform):
    """`Orientationd` to RAS and `Spacingd` in one pass, axis by axis; the grids are MONAI's own.

    It touches its own keys only: MONAI's `Spacingd` updates every entry whose name begins with `image_`,
    and fails on the string that MONAI Label passes under `image_path`.

    Args:
        keys: volumes (C, X, Y, Z) with an affine.
        spacing: mm along each axis.
        mode: "bilinear" or "nearest", for all keys or for each.
    """

    def __init__(
        self, keys: KeysCollection, spacing: Sequence[float], mode: str | Sequence[str] = "bilinear"
    ) -> None:
        super().__init__(keys)
        self.spacing = tuple(spacing)
        self.mode = ensure_tuple_rep(mode, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resample the keys' volumes (C, X, Y, Z)."""
        out = dict(data)
        for key, mode in self.key_iterator(out, self.mode):
            volume = out[key]
            shape, affine = tuple(volume.shape[1:]), np.asarray(volume.affine, dtype=np.float64)
            new_shape, new_affine = ras_grid(shape, affine, self.spacing)
            out[key] = _onto(volume, new_shape, new_affine, mode)
            self.push_transform(
                out[key],
                orig_size=shape,
                extra_info={"affine": torch.as_tensor(affine), "mode": mode},
            )
        return out

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring the keys' volumes back to the grid they came from."""
        out = dict(data)
        for key in self.key_iterator(out):
            past = self.pop_transform(out[key])
            info = past[TraceKeys.EXTRA_INFO]
            affine = np.asarray(info["affine"], dtype=np.float64)
            shape = tuple(int(n) for n in past[TraceKeys.ORIG_SIZE])
            out[key] = _onto(out[key], shape, affine, info["mode"])
        return out


def _onto(
    volume: MetaTensor, shape: Sequence[int], affine: NDArray[np.float64], mode: str
) -> MetaTensor:
    """A volume (C, X, Y, Z) on another grid with parallel axes."""
    matrix = np.linalg.inv(np.asarray(volume.affine, dtype=np.float64)) @ affine
    moved = resample_onto(volume.as_tensor(), matrix, shape, mode)
    out = MetaTensor(moved).copy_meta_from(volume)
    out.affine = torch.as_tensor(affine)
    return out


class ScaleInPlaced(T.MapTransform):
    """`ScaleIntensityRanged` to 0..1, clipped, that makes no copies: MONAI's holds three.

    Args:
        keys: float volumes that nothing else uses.
        low: intensity that becomes 0, as what is below.
        high: intensity that becomes 1, as what is above.
    """

    def __init__(self, keys: KeysCollection, low: float, high: float) -> None:
        super().__init__(keys)
        self.low = low
        self.high = high

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Scale the keys' volumes."""
        for key in self.key_iterator(dict(data)):
            data[key].sub_(self.low).div_(self.high - self.low).clamp_(0, 1)
        return dict(data)


class LabelsOnScanGridd(T.MapTransform):
    """Logits on the network's grid to labels on the grid the image was read from.

    Args:
        keys: logits (C, *network grid).
        image: key of the image the network saw, with the affine it has now and had in its file.
    """

    def __init__(self, keys: KeysCollection, image: str = "image") -> None:
        super().__init__(keys)
        self.image = image

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's logits by labels (1, X, Y, Z)."""
        out = dict(data)
        for key in self.key_iterator(out):
            logits = out[key].as_tensor() if isinstance(out[key], MetaTensor) else out[key]
            whole = Slab(tuple(slice(0, n) for n in logits.shape[1:]), logits)
            labels = self.labels([whole], out[self.image])
            meta = {**out[self.image].meta, "affine": out[self.image].meta["original_affine"]}
            out[key] = MetaTensor(torch.from_numpy(labels)[None], meta=meta)
        return out

    def labels(
        self,
        slabs: Iterable[Slab],
        image: MetaTensor,
        axis: int = 0,
        maps: list[NDArray[np.uint8]] | None = None,
    ) -> NDArray[np.integer]:
        """The labels (X, Y, Z) of slabs that follow each other along an axis of the image's grid.

        Into `maps`, if given, go the slabs' maps, as `maps_on_grid` stores them.
        """
        original = np.asarray(image.meta["original_affine"], dtype=np.float64)
        matrix = np.linalg.inv(np.asarray(image.affine, dtype=np.float64)) @ original
        shape = [int(n) for n in image.meta["spatial_shape"]]
        if maps is not None:
            slabs = maps_on_grid(slabs, image.shape[1:], matrix, shape, axis, maps)
        return labels_on_grid(slabs, image.shape[1:], matrix, shape, axis)


class CheckScand(T.MapTransform):
    """Warns of what makes a scan doubtful: no CT in HU, thin, or with axes that are not straight.

    Args:
        keys: scans as they were read.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Look at each key's scan (1, X, Y, Z) and give it on as it is; a `ScanWarning` for each doubt."""
        for key in self.key_iterator(dict(data)):
            scan, affine = data[key], np.asarray(data[key].affine, dtype=np.float64)
            name = scan.meta.get("filename_or_obj", key)
            found = [*doubts(scan[0].cpu().numpy(), affine), shear_doubt(affine)]
            for doubt in filter(None, found):
                warnings.warn(f"{name}: {doubt}", ScanWarning, stacklevel=2)
        return dict(data)


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


@contextmanager
def _quiet() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def load(keys: KeysCollection) -> list[T.Transform]:
    """Read each key's file into a float32 volume (1, X, Y, Z)."""
    with _quiet():  # MONAI makes all of its readers, and some complain that they miss a package
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
        ResampleRASd(keys, spacing, mode=modes[: len(keys)]),
        ScaleInPlaced("image", low, high),
        T.EnsureTyped(keys, dtype=types[: len(keys)]),
    ]


def preprocessing(spacing: Sequence[float], intensity_range: Sequence[float]) -> T.Compose:
    """What inference does to `image`, a path: RAS, `spacing` in mm, `intensity_range` in HU to 0..1.

    What makes it doubtful as a CT in HU is warned about.
    """
    read = [*load("image"), CheckScand("image")]
    return T.Compose([*read, *to_network_grid(("image",), spacing, intensity_range)])


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
    domain_randomization: bool = False,
) -> T.Compose:
    """As `validation`, then `num_samples` random windows of `roi_size` voxels with CT augmentation.

    Half of the windows are centred on the foreground. No flips: left and right are not alike in an
    abdomen. The random part starts with the cropping, so a caching data set keeps what is before it.
    With `domain_randomization` shape, contrast, sharpness and texture vary far more than scans do: for
    a network that is to find its way in scans unlike those it was trained on.
    """
    keys = ("image", "label")
    modes = ("bilinear", "nearest")
    augment = [
        T.SpatialPadd(keys, roi_size),
        T.RandCropByPosNegLabeld(
            keys, label_key="label", spatial_size=roi_size, pos=1, neg=1, num_samples=num_samples
        ),
        *(_domain_randomization if domain_randomization else _scan_variation)(keys, modes),
    ]
    steady = validation(spacing, intensity_range, num_classes, label_map).transforms
    # RandAffined gives the label back as float32
    plain = T.EnsureTyped(keys, dtype=(torch.float32, torch.uint8), track_meta=False)
    return T.Compose([*steady, *augment, plain])


def _scan_variation(keys: Sequence[str], modes: Sequence[str]) -> list[T.Transform]:
    """Changes of the size that scans of one protocol show."""
    return [
        T.RandAffined(
            keys,
            prob=0.3,
            rotate_range=[0.17] * 3,  # radians, about 10 degrees
            scale_range=[0.1] * 3,
            mode=modes,
            padding_mode="border",
        ),
        T.RandScaleIntensityd("image", factors=0.1, prob=0.3),
        T.RandShiftIntensityd("image", offsets=0.05, prob=0.3),  # 20 HU of a window of 400
        T.RandGaussianNoised("image", prob=0.2, std=0.03),
        T.RandGaussianSmoothd("image", prob=0.1, sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8)),
    ]


def _domain_randomization(keys: Sequence[str], modes: Sequence[str]) -> list[T.Transform]:
    """Changes larger than between scans: of the body, of clutter, contrast phase, sharpness, noise."""
    return [
        T.RandAffined(
            keys,
            prob=0.9,
            rotate_range=[0.17, 0.17, 0.26],  # radians, about 10 and 15 degrees
            scale_range=[0.25] * 3,
            shear_range=[0.1] * 6,
            mode=modes,
            padding_mode="border",
        ),
        T.RandGridDistortiond(
            keys, num_cells=4, distort_limit=0.2, prob=0.5, mode=modes, padding_mode="border"
        ),
        T.RandCoarseShuffled(
            "image", holes=4, max_holes=16, spatial_size=3, max_spatial_size=8, prob=0.4
        ),
        T.RandCoarseDropoutd(
            "image", holes=2, max_holes=12, spatial_size=3, max_spatial_size=8, prob=0.4
        ),
        T.RandHistogramShiftd("image", num_control_points=(4, 10), prob=0.7),
        T.RandAdjustContrastd("image", gamma=(0.6, 1.7), prob=0.3),
        T.RandBiasFieldd("image", coeff_range=(0.0, 0.1), prob=0.3),
        T.RandScaleIntensityd("image", factors=0.3, prob=0.5),
        T.RandShiftIntensityd("image", offsets=0.12, prob=0.5),  # about 50 HU of a window of 400
        T.RandGaussianSmoothd(
            "image", sigma_x=(0.3, 1.2), sigma_y=(0.3, 1.2), sigma_z=(0.3, 1.2), prob=0.4
        ),
        T.RandSimulateLowResolutiond("image", zoom_range=(0.4, 1.0), prob=0.3),
        T.RandGaussianNoised("image", std=0.1, prob=0.5),
    ]


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


def postprocessing(
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
    return T.Compose([LabelsOnScanGridd("pred"), save])
