"""MONAI transforms from the scan's grid to the network's grid and back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
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

from monai_attn.datasets.regions import read_regions
from monai_attn.io.affine import spaced
from monai_attn.io.nifti.header import MOST_VOXELS
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.plain_tensor import plain_tensor
from monai_attn.transforms.resample import resample_onto
from monai_attn.transforms.restore import Keep, Slab, labels_and_maps_on_grid, labels_on_grid
from monai_attn.transforms.restore_probabilities import KeptProbabilities

ROUNDED = 1e-4  # voxels that rounding in a header may add to a zero


def ras_grid(
    shape: Sequence[int], affine: NDArray[np.float64], spacing: Sequence[float]
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the grid that MONAI's `Orientation` to RAS and `Spacing` lead to.

    If the axes stay parallel, it begins at the corner voxel and does not depend on the last digits of an
    affine, which differ between float32 and decimal headers. In MONAI's own arithmetic they choose between
    two sizes if a size falls halfway, and move the grid of an oblique scan by millimetres.

    Args:
        shape: (X, Y, Z) voxels.
        affine: (4, 4), voxel to RAS+ mm.
        spacing: mm along each axis of the new grid.

    Returns:
        The shape of the grid, and its affine: voxel to RAS+ mm.

    Raises:
        ValueError: if the grid would have more voxels than any scan.
    """
    turn = nib.io_orientation(affine)
    turned = affine @ nib.orientations.inv_ornt_aff(turn, shape)
    sizes = np.empty(len(shape), dtype=int)
    sizes[turn[:, 0].astype(int)] = shape
    target = zoom_affine(turned, np.asarray(spacing, dtype=np.float64), diagonal=False)
    step = np.linalg.solve(target[:-1, :-1], turned[:-1, :-1])
    if np.allclose(step, np.diag(np.diag(step)), atol=ROUNDED):
        new_shape = np.round(np.round((sizes - 1) * np.diag(step), 2) + 1)
        offset = turned[:-1, -1]
    else:  # sheared
        new_shape, offset = compute_shape_offset(tuple(sizes), turned, target)
    target[:-1, -1] = offset[: len(shape)]
    voxels = math.prod(int(n) for n in new_shape)
    if voxels > MOST_VOXELS:
        raise ValueError(
            f"too many voxels after resampling to {spaced(np.asarray(spacing))} mm (got {voxels}, expected "
            f"at most {MOST_VOXELS}). Crop the scan, or correct its spacing."
        )
    return tuple(int(n) for n in new_shape), target


class ResampleRASd(T.MapTransform, T.InvertibleTransform):
    """A replacement of `Orientationd` to RAS and `Spacingd`: one pass, axis by axis, onto `ras_grid`.

    It only changes its own keys: MONAI's `Spacingd` updates every entry whose name begins with `image_`,
    and fails on the string that MONAI Label passes under `image_path`.

    Args:
        keys: volumes (C, X, Y, Z) with an affine.
        spacing: mm along each axis.
        mode: "bilinear" or "nearest", one for all keys or one for each.
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
        """Resample the keys' volumes back to the grid that they came from."""
        out = dict(data)
        for key in self.key_iterator(out):
            past = self.pop_transform(out[key])
            info = past[TraceKeys.EXTRA_INFO]
            affine = np.asarray(info["affine"], dtype=np.float64)
            shape = tuple(int(n) for n in past[TraceKeys.ORIG_SIZE])
            out[key] = _onto(out[key], shape, affine, info["mode"])
        return out


class NeighbourSlicesd(T.MapTransform):
    """A transform that adds the slices above and below each axial slice as channels for a 2D network.

    The first and the last slice are repeated beyond the ends of the volume.

    Args:
        keys: volumes (C, X, Y, Z).
        slices: number of slices that the network sees; it is odd, and the middle one is the slice itself.

    Raises:
        ValueError: if `slices` is not a positive odd number.
    """

    def __init__(self, keys: KeysCollection, slices: int) -> None:
        super().__init__(keys)
        if slices < 1 or slices % 2 == 0:
            raise ValueError(f"slices (={slices}) must be a positive odd number")
        self.slices = slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Stack each key's slices: (C, X, Y, Z) becomes (slices * C, X, Y, Z), all channels of one first."""
        out = dict(data)
        for key in self.key_iterator(out):
            volume, last = out[key], out[key].shape[-1] - 1
            centre, reach = torch.arange(last + 1, device=volume.device), self.slices // 2
            steps = [(centre + step).clamp(0, last) for step in range(-reach, reach + 1)]
            stacked = torch.cat([plain_tensor(volume)[..., index] for index in steps])
            out[key] = (
                MetaTensor(stacked).copy_meta_from(volume)
                if isinstance(volume, MetaTensor)
                else stacked
            )
        return out


def _onto(
    volume: MetaTensor, shape: Sequence[int], affine: NDArray[np.float64], mode: str
) -> MetaTensor:
    """Resample a volume (C, X, Y, Z) onto the grid with this shape and affine."""
    matrix = np.linalg.inv(np.asarray(volume.affine, dtype=np.float64)) @ affine
    moved = resample_onto(volume.as_tensor(), matrix, shape, mode)
    out = MetaTensor(moved).copy_meta_from(volume)
    out.affine = torch.as_tensor(affine)
    return out


class LabelsOnScanGridd(T.MapTransform):
    """A transform from logits on the network's grid to labels on the grid of the image's file.

    Args:
        keys: logits (C, *network grid); or a list of logits and maps of 0 to 1, each (1, *network grid).
        image: key of the network's input image, with its present affine and that of its file.
        map_keys: keys under which the maps of such a list are stored, in its order.
        regions: as for `read_regions`; None for classes.

    Attributes:
        decoding: the way from logits to labels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image: str = "image",
        map_keys: Sequence[str] = (),
        regions: Any = None,
    ) -> None:
        super().__init__(keys)
        self.image = image
        self.map_keys = tuple(map_keys)
        self.decoding = Decoding(read_regions(regions))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's logits by labels (1, X, Y, Z); add the maps, stored as bytes."""
        out = dict(data)
        image = out[self.image]
        meta = {**image.meta, "affine": image.meta["original_affine"]}
        for key in self.key_iterator(out):
            outputs = out[key] if isinstance(out[key], (list, tuple)) else [out[key]]
            logits, *others = [plain_tensor(output) for output in outputs]
            box = tuple(slice(0, n) for n in logits.shape[1:])
            slabs = [Slab(box, logits, tuple(others))]
            if self.map_keys:
                labels, maps = self.labels_and_maps(slabs, image)
            else:
                labels, maps = self.labels(slabs, image), ()
            volumes = zip((key, *self.map_keys), (labels, *maps), strict=True)
            out |= {name: MetaTensor(torch.from_numpy(x)[None], meta=meta) for name, x in volumes}
        return out

    def labels(
        self, slabs: Iterable[Slab], image: MetaTensor, axis: int = 0, keep: Keep | None = None
    ) -> NDArray[np.integer]:
        """Return the labels (X, Y, Z) of slabs that follow each other along an axis of the image's grid."""
        return labels_on_grid(slabs, *_to_scan(image), axis, self.decoding, keep)

    def labels_and_maps(
        self, slabs: Iterable[Slab], image: MetaTensor, axis: int = 0, keep: Keep | None = None
    ) -> tuple[NDArray[np.integer], tuple[NDArray[np.uint8], ...]]:
        """Return the labels and the slabs' maps, in the form of `labels_and_maps_on_grid`."""
        return labels_and_maps_on_grid(slabs, *_to_scan(image), axis, self.decoding, keep)

    def probabilities(
        self, image: MetaTensor, axis: int = 0, temperature: float = 1.0
    ) -> KeptProbabilities:
        """Return what keeps the probabilities of slabs, for `labels` or `labels_and_maps`."""
        return KeptProbabilities(*_to_scan(image), axis, self.decoding, temperature)


def decoding_of(postprocessing: T.Compose) -> Decoding:
    """Return the way from logits to labels of a bundle's postprocessing; that of classes if it has none."""
    steps = [*postprocessing.transforms]
    return next((one.decoding for one in steps if isinstance(one, LabelsOnScanGridd)), Decoding())


def _to_scan(image: MetaTensor) -> tuple[Sequence[int], NDArray[np.float64], list[int]]:
    """Return the size of the image's grid, the matrix from its file's voxels to it, and their counts."""
    original = np.asarray(image.meta["original_affine"], dtype=np.float64)
    matrix = np.linalg.inv(np.asarray(image.affine, dtype=np.float64)) @ original
    return image.shape[1:], matrix, [int(n) for n in image.meta["spatial_shape"]]
