"""Transforms from a scan to the network's input and back, shared by training and inference.

Each function returns a `monai.transforms.Compose`, so that bundle configs stay plain values and every
client that looks for MONAI's own loading and saving transforms finds them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai import transforms as T
from monai.config import KeysCollection

from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.regions import read_regions
from monai_attn.transforms.augmentation import as_in_nnunet, beyond_scans, scan_variation
from monai_attn.transforms.checks import CheckKnownd, CheckLabeld, CheckScand
from monai_attn.transforms.cleaning import CleanLabelsd
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.grids import LabelsOnScanGridd, NeighbourSlicesd, ResampleRASd
from monai_attn.transforms.monai_io import LabelWriter, MapWriter, VolumeReader
from monai_attn.transforms.region_masks import RegionsToIndicesd
from monai_attn.transforms.scaling import ScaleChannelsd, ScaleInPlaced

Channels = Sequence[Any] | None  # as `read_channels` takes them; None for one CT
CENTRES = (
    20_000  # voxels of each class on which a window may be centred; all would be many megabytes
)
AUGMENTATIONS = ("scans", "nnunet")


def without(steps: T.Compose, kind: type) -> T.Compose:
    """Return the steps that are not of a class, such as MONAI's `LoadImaged` or `SaveImaged`."""
    return T.Compose([step for step in steps.transforms if not isinstance(step, kind)])


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


def load(keys: KeysCollection, channels: Channels = None) -> list[T.Transform]:
    """Read each key's file, or a file for each channel, into a float32 volume (C, X, Y, Z)."""
    with _quiet():  # MONAI makes all of its readers, and some complain about a missing package
        reader = T.LoadImaged(keys, image_only=True)
    reader.register(VolumeReader(channels))
    return [reader, T.EnsureChannelFirstd(keys)]


def load_case(
    num_classes: int,
    label_map: Mapping[str, int] | None,
    ignore: int | None,
    regions: Any = None,
    channels: Channels = None,
) -> list[T.Transform]:
    """Read `image` and `label`, check that they belong together, and map label values to classes."""
    several = [*load("image", channels), *load("label")]
    read = several if channels else load(("image", "label"))
    return [*read, CheckLabeld(num_classes, label_map, ignore, regions)]


def to_network_grid(
    keys: Sequence[str],
    spacing: Sequence[float],
    intensity_range: Sequence[float] | None,
    slice_channels: int = 1,
    channels: Channels = None,
) -> list[T.Transform]:
    """Bring `image`, and `label` if it is a key, to RAS order and `spacing`; scale intensities.

    Without `channels` the image is a CT, and the HU of `intensity_range` become 0..1. With `slice_channels`
    above 1 the neighbours of each axial slice become channels of `image`.
    """
    modes, types = ("bilinear", "nearest"), (torch.float32, torch.uint8)
    return [
        ResampleRASd(keys, spacing, mode=modes[: len(keys)]),
        ScaleChannelsd("image", channels)
        if channels
        else ScaleInPlaced("image", *(intensity_range or ())),
        T.EnsureTyped(keys, dtype=types[: len(keys)]),
        *([NeighbourSlicesd("image", slice_channels)] if slice_channels > 1 else []),
    ]


def preprocessing(
    spacing: Sequence[float],
    intensity_range: Sequence[float] | None,
    slice_channels: int = 1,
    channels: Channels = None,
) -> T.Compose:
    """Return the steps from `image`, a path, to the input: RAS, `spacing` in mm, `intensity_range` to 0..1.

    The range is in HU. An image that is doubtful as a CT in HU causes a warning. With `channels`, see
    `read_channels`, `image` has these channels instead of one CT: it is a list of paths, or a path to a file
    with four dimensions, and each channel is scaled as it says.
    """
    read = [*load("image", channels), CheckScand("image", channels)]
    grid = to_network_grid(("image",), spacing, intensity_range, slice_channels, channels)
    return T.Compose([*read, *grid])


def evaluation(
    spacing: Sequence[float],
    intensity_range: Sequence[float] | None,
    num_classes: int = 2,
    label_map: Mapping[str, int] | None = None,
    slice_channels: int = 1,
    ignore: int | None = None,
    regions: Any = None,
    channels: Channels = None,
) -> T.Compose:
    """Return the steps of `preprocessing` that also load `label` and leave it on the scan's own grid."""
    case = load_case(num_classes, label_map, ignore, regions, channels)
    grid = to_network_grid(("image",), spacing, intensity_range, slice_channels, channels)
    return T.Compose([*case, *grid])


def validation(
    spacing: Sequence[float],
    intensity_range: Sequence[float] | None,
    num_classes: int = 2,
    label_map: Mapping[str, int] | None = None,
    slice_channels: int = 1,
    ignore: int | None = None,
    regions: Any = None,
    channels: Channels = None,
) -> T.Compose:
    """Return the steps of `preprocessing` for `image` and `label`, both as plain tensors.

    Labels are resampled to the nearest voxel, so that none is mixed with an ignored one: in memory ignored
    voxels are `IGNORED`, whatever the value `ignore` in the files. With `regions`, as for `read_regions`, a
    voxel keeps the value in its file, which several regions may hold.
    """
    keys = ("image", "label")
    case = load_case(num_classes, label_map, ignore, regions, channels)
    grid = to_network_grid(keys, spacing, intensity_range, slice_channels, channels)
    return T.Compose([*case, *grid, T.EnsureTyped(keys, track_meta=False)])


def training(
    spacing: Sequence[float],
    intensity_range: Sequence[float] | None,
    roi_size: Sequence[int],
    num_samples: int = 2,
    num_classes: int = 2,
    label_map: Mapping[str, int] | None = None,
    domain_randomization: bool = False,
    slice_channels: int = 1,
    ignore: int | None = None,
    augmentation: str = "scans",
    foreground_share: float = 0.5,
    mirror_axes: Sequence[int] = (),
    regions: Any = None,
    channels: Channels = None,
) -> T.Compose:
    """Return the steps of `validation`, then `num_samples` augmented random windows of `roi_size` voxels.

    With two entries in `roi_size` a window is a part of one axial slice, (C, X, Y) for a 2D network.
    `foreground_share` of the windows are centred on the foreground, on each class or region equally often;
    none is centred on an ignored voxel. There are no flips unless `mirror_axes` names the axes of a window:
    left and right are not alike in an abdomen. The random part starts with the cropping, so a caching data
    set keeps the steps before it. `augmentation` is "scans", as strong as the variation of scans, or
    "nnunet". With `domain_randomization` shape, contrast, sharpness and texture vary far more than in
    scans: for a network that must work on scans unlike those it was trained on.

    Raises:
        ValueError: if `augmentation` is neither, `foreground_share` is not between 0 and 1, or an axis does
            not exist.
    """
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"augmentation (={augmentation!r}) must be {' or '.join(AUGMENTATIONS)}")
    if not 0 < foreground_share < 1:
        raise ValueError(f"foreground_share (={foreground_share}) must be above 0 and below 1")
    if not set(mirror_axes) <= set(range(len(roi_size))):
        raise ValueError(f"mirror_axes (={mirror_axes}) must lie in 0..{len(roi_size) - 1}")
    keys = ("image", "label")
    found = read_regions(regions)
    foreground = num_classes - 1 if found is None else len(found.labels)
    is_slice = len(roi_size) == 2
    size = (*roi_size, 1) if is_slice else roi_size
    steady = [
        *load_case(num_classes, label_map, ignore, found, channels),
        *to_network_grid(keys, spacing, intensity_range, slice_channels, channels),
        *([] if ignore is None else [CheckKnownd("label")]),
        T.EnsureTyped(keys, track_meta=False),
        T.ClassesToIndicesd("label", num_classes=num_classes, max_samples_per_class=CENTRES)
        if found is None
        else RegionsToIndicesd(found, CENTRES),
    ]
    crop = [
        T.RandCropByLabelClassesd(
            keys,
            label_key="label",
            spatial_size=size,
            ratios=[foreground * (1 - foreground_share) / foreground_share, *[1] * foreground],
            num_classes=1 + foreground,
            num_samples=num_samples,
            indices_key="label_cls_indices",
            allow_smaller=True,
            warn=False,  # a case may lack a class
        ),
        T.SelectItemsd(keys),
        T.SpatialPadd(keys, size),
        *([T.SqueezeDimd(keys, dim=-1)] if is_slice else []),
    ]
    modes = ("bilinear", "nearest")
    if augmentation == "nnunet":
        vary = as_in_nnunet(keys, modes, roi_size, mirror_axes)
    else:
        flips = [T.RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in mirror_axes]
        strong = beyond_scans if domain_randomization else scan_variation
        vary = [*strong(keys, modes, len(roi_size)), *flips]
    # RandAffined returns the label as float32
    plain = T.EnsureTyped(keys, dtype=(torch.float32, torch.uint8), track_meta=False)
    return T.Compose([*steady, *crop, *vary, plain])


class Discreted(T.MapTransform):
    """A transform of logits (C, *spatial), or the first of a nested list, to labels (1, *spatial).

    Args:
        keys: logits.
        regions: as for `read_regions`; None for classes.
    """

    def __init__(self, keys: KeysCollection, regions: Any = None) -> None:
        super().__init__(keys)
        self.decoding = Decoding(read_regions(regions))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's logits by their labels."""
        out = dict(data)
        for key in self.key_iterator(out):
            logits = out[key]
            while isinstance(logits, (list, tuple)):  # the finest comes first, and draws come last
                logits = logits[0]
            out[key] = self.decoding.labels(logits)[None]
        return out


class IgnoredAsInLabeld(T.MapTransform):
    """A transform that sets a prediction to `IGNORED` where `label` is, so that no metric counts it.

    Args:
        keys: labels (1, *spatial) on the grid of `label`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's labels."""
        out = dict(data)
        for key in self.key_iterator(out):
            ignored = torch.as_tensor(out["label"] == IGNORED)
            out[key] = torch.where(ignored.to(out[key].device), IGNORED, out[key])
        return out


def discretize(ignore: int | None = None, regions: Any = None) -> T.Compose:
    """Return the steps from logits under `pred` to labels on the same grid, for metrics during training.

    With an `ignore` value the metrics only count the known voxels of `label`. `regions` are as for
    `read_regions`.
    """
    return T.Compose([Discreted("pred", regions), *_metrics_of_known(ignore)])


def _metrics_of_known(ignore: int | None) -> list[T.Transform]:
    return [] if ignore is None else [IgnoredAsInLabeld("pred")]


def postprocessing(
    output_dir: str,
    output_postfix: str = "seg",
    output_ext: str = ".nii.gz",
    output_dtype: str = "uint8",
    separate_folder: bool = False,
    levels: Sequence[int] = (),
    keep_largest: Sequence[int] = (),
    fill_holes: Sequence[int] = (),
    num_classes: int | None = None,
    ignore: int | None = None,
    keep_pieces_from: float = 1.0,
    regions: Any = None,
) -> T.Compose:
    """Return the steps to cleaned labels on the scan's own grid in `output_dir/NAME_seg.nii.gz`.

    `CleanLabelsd` explains `keep_largest`, `fill_holes`, `keep_pieces_from`, `num_classes` and `regions`.

    With the `levels` of a network's gates `pred` is a list of logits and attention maps; the maps are
    written next to the labels as `NAME_attention_LEVEL.nii.gz`. With an `ignore` value the metrics that
    follow only count the known voxels of `label`; the written labels have a class everywhere.
    """
    maps = [f"attention_{level}" for level in levels]
    files = {
        "output_dir": output_dir,
        "output_ext": output_ext,
        "separate_folder": separate_folder,
        "resample": False,
        "print_log": False,
    }
    save = T.SaveImaged(
        "pred",
        output_postfix=output_postfix,
        output_dtype=output_dtype,
        writer=LabelWriter,
        **files,
    )
    save_maps = [
        T.SaveImaged(key, output_postfix=key, output_dtype="uint8", writer=MapWriter, **files)
        for key in maps
    ]
    clean = CleanLabelsd("pred", keep_largest, fill_holes, num_classes, keep_pieces_from, regions)
    steps = [clean] if clean.keep_largest or clean.fill_holes else []
    known = _metrics_of_known(ignore)
    labels = LabelsOnScanGridd("pred", map_keys=maps, regions=regions)
    return T.Compose([labels, *steps, *save_maps, save, *known])
