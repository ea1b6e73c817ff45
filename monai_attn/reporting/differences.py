"""Differences between the labels of a case and a reference: voxel by voxel, and as connected places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_attn.reporting.packing import Bytes
from monai_attn.reporting.planes import Marked

FALSE_POSITIVE, FALSE_NEGATIVE, OTHER_LABEL = 1, 2, 3
MOST_PLACES = 99  # that a page lists: more are the rim of an organ, voxel by voxel


@dataclass(frozen=True)
class Kind:
    """A kind of difference, as it is named and coloured; byte n is the n-th.

    Attributes:
        name: its name.
        about: what it means.
        colour: its colour; orange-red, blue and grey are told apart by colour-blind readers.
    """

    name: str
    about: str
    colour: str


KINDS = (
    Kind("false positive", "labelled, but not in the reference", "#e8590c"),
    Kind("false negative", "in the reference, but not labelled", "#1c6dd0"),
    Kind("another label", "labelled as something else than in the reference", "#d0d0d0"),
)


@dataclass(frozen=True)
class Place:
    """A connected place where all voxels differ in the same way.

    Attributes:
        kind: byte of the kind.
        at: voxel within it, in the axial slice with most of its voxels.
        voxels: number of voxels.
    """

    kind: int
    at: tuple[int, int, int]
    voxels: int


def differences_of(
    labels: Bytes, reference: Bytes, ignored: NDArray[np.bool_] | None = None
) -> Bytes:
    """Return the kind of difference of each voxel, 0 where there is none.

    Args:
        labels: (X, Y, Z) labels.
        reference: (X, Y, Z) labels of the reference, numbered alike.
        ignored: (X, Y, Z) voxels that count nowhere, if there are any.
    """
    kinds = np.zeros(labels.shape, np.uint8)
    for z in range(labels.shape[2]):  # layer by layer: a scan has many voxels
        ours, theirs = labels[:, :, z], reference[:, :, z]
        if not (ours.any() or theirs.any()):
            continue
        kind = np.where(
            theirs == 0, FALSE_POSITIVE, np.where(ours == 0, FALSE_NEGATIVE, OTHER_LABEL)
        )
        differs = ours != theirs
        if ignored is not None:
            differs &= ~ignored[:, :, z]
        kinds[:, :, z] = np.where(differs, kind, 0)
    return kinds


def places_of(kinds: Bytes) -> list[Place]:
    """Return the connected places of each kind, largest first; voxels that touch at a corner connect."""
    places = []
    for kind, box in enumerate(ndimage.find_objects(kinds), 1):
        if box is None:
            continue
        parts, count = ndimage.label(kinds[box] == kind, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        boxes = ndimage.find_objects(parts)
        for index in np.argsort(-sizes, kind="stable"):
            inner = boxes[index]
            x, y, z = Marked(parts[inner] == index + 1, np.eye(4)).centre
            i, j, k = (a.start + b.start for a, b in zip(box, inner, strict=True))
            places.append(Place(kind, (i + x, j + y, k + z), int(sizes[index])))
    return sorted(places, key=lambda place: -place.voxels)
