"""Cleaning of labels on the scan's grid, as a MONAI transform."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai import transforms as T
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray

from monai_attn.datasets.regions import Regions, read_regions
from monai_attn.transforms.components import clean_labels


class CleanLabelsd(T.MapTransform):
    """A transform that keeps the largest component of some labels, and fills the holes in some.

    Args:
        keys: labels (1, X, Y, Z).
        keep_largest: the labels of which only the largest component stays, see `clean_labels`.
        fill_holes: the labels whose holes are filled.
        num_classes: number of classes, background included; None if it is not known.
        keep_pieces_from: a smaller component stays too if it has at least this fraction of the voxels of
            the largest, above 0; with 1 only the largest stays.
        regions: as for `read_regions`. Then whole regions are cleaned, see `clean_regions`.

    Raises:
        ValueError: if an entry is not a class, or the fraction is out of range.
    """

    def __init__(
        self,
        keys: KeysCollection,
        keep_largest: Sequence[int] = (),
        fill_holes: Sequence[int] = (),
        num_classes: int | None = None,
        keep_pieces_from: float = 1.0,
        regions: Any = None,
    ) -> None:
        super().__init__(keys)
        self.regions = read_regions(regions)
        known = None if num_classes is None else tuple(range(1, num_classes))
        known = known if self.regions is None else self.regions.labels
        self.keep_largest = _checked("keep_largest", keep_largest, known)
        self.fill_holes = _checked("fill_holes", fill_holes, known)
        if type(keep_pieces_from) not in (int, float) or not 0 < keep_pieces_from <= 1:
            raise ValueError(
                f"keep_pieces_from (={keep_pieces_from!r:.60}) must be a number above 0 and up to 1"
            )
        self.keep_pieces_from = keep_pieces_from

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Clean the keys' labels; labels on the CPU are changed in place."""
        out = dict(data)
        for key in self.key_iterator(out):
            volume = out[key]
            labels = volume[0].cpu().numpy()
            options: dict[str, Any] = {
                "keep_largest": self.keep_largest,
                "fill_holes": self.fill_holes,
                "keep_pieces_from": self.keep_pieces_from,
            }
            if self.regions is None:
                clean_labels(labels, **options)
            else:
                clean_regions(labels, self.regions, **options)
            cleaned = torch.from_numpy(labels)[None].to(volume.device)
            out[key] = MetaTensor(cleaned, meta=getattr(volume, "meta", None))
        return out


def clean_regions(
    labels: NDArray[np.integer],
    regions: Regions,
    *,
    keep_largest: Collection[int] = (),
    fill_holes: Collection[int] = (),
    keep_pieces_from: float = 1.0,
) -> None:
    """Clean whole regions of a label map in place, in the order in which they are written.

    A region is cleaned together with all that lies within it. What is dropped from a region leaves every
    region within it too, and keeps the label of the region around it, if there is one.

    Args:
        labels: (X, Y, Z).
        regions: the regions.
        keep_largest: the labels of regions of which only the largest component stays, see `clean_labels`.
        fill_holes: the labels of regions that get the background they enclose.
        keep_pieces_from: as for `clean_labels`.
    """
    for label in regions.labels:
        if label not in keep_largest and label not in fill_holes:
            continue
        before = regions.mask(labels, label)
        layer = np.where(before, 1, np.where(labels > 0, 2, 0)).astype(np.uint8, order="K")
        clean_labels(
            layer,
            keep_largest=[1] if label in keep_largest else [],
            fill_holes=[1] if label in fill_holes else [],
            keep_pieces_from=keep_pieces_from,
        )
        dropped = before & (layer != 1)
        for value in np.unique(labels[dropped]).tolist():
            labels[dropped & (labels == value)] = regions.around(value, label)
        labels[(layer == 1) & ~before] = label


def _checked(name: str, labels: Any, known: Collection[int] | None) -> tuple[int, ...]:
    """Return the labels of an argument; raise an error unless each is known, and above the background."""
    is_list = isinstance(labels, (list, tuple))
    if not is_list or not all(
        type(label) is int and (label > 0 if known is None else label in known) for label in labels
    ):
        limit = "from 1"
        if known is not None:
            last = max(known, default=0)
            whole = sorted(known) == [*range(1, last + 1)]
            limit = f"from 1 to {last}" if whole else f"among {', '.join(map(str, known))}"
        raise ValueError(f"{name} (={labels!r:.60}) must be a list of classes {limit}")
    return tuple(labels)
