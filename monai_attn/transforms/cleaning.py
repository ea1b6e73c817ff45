"""Cleaning of labels on the scan's grid, as a MONAI transform."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai import transforms as T
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor

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
    ) -> None:
        super().__init__(keys)
        self.keep_largest = _checked("keep_largest", keep_largest, num_classes)
        self.fill_holes = _checked("fill_holes", fill_holes, num_classes)
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
            clean_labels(
                labels,
                keep_largest=self.keep_largest,
                fill_holes=self.fill_holes,
                keep_pieces_from=self.keep_pieces_from,
            )
            cleaned = torch.from_numpy(labels)[None].to(volume.device)
            out[key] = MetaTensor(cleaned, meta=getattr(volume, "meta", None))
        return out


def _checked(name: str, labels: Any, num_classes: int | None) -> tuple[int, ...]:
    """Return the labels of an argument; raise an error unless each is a class above the background."""
    limit = "" if num_classes is None else f" to {num_classes - 1}"
    is_list = isinstance(labels, (list, tuple))
    if not is_list or not all(
        type(label) is int and 0 < label < (num_classes or label + 1) for label in labels
    ):
        raise ValueError(f"{name} (={labels!r:.60}) must be a list of classes from 1{limit}")
    return tuple(labels)
