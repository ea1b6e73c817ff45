"""Scores of predicted labels against reference labels in arrays, for each label.

Both label maps must lie on one grid, so that a voxel is the same place in the patient. Volumes are in
millilitres, from the voxel spacing in mm.

Overlaps count voxels, as `monai.metrics.compute_dice` does; the tests compare the two. Surfaces are
measured by MONAI. This module adds what MONAI lacks: a rule for empty labels, for which MONAI returns NaN
or infinity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from monai_attn.datasets.ignore import check_ignore, no_known_voxel
from monai_attn.datasets.regions import Regions
from monai_attn.metrics.scores import CaseScore

NOWHERE = np.zeros((0, 0, 0), bool)


def score_labels(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    case: str = "",
    labels: Iterable[int] | None = None,
    ignore: int | None = None,
) -> list[CaseScore]:
    """Score each label of a predicted label map against the reference on the same grid.

    | voxels of the label    | dice, precision, recall, NSD | distances |
    |------------------------|------------------------------|-----------|
    | in neither             | `None`                       | `None`    |
    | only in the prediction | `None`                       | `None`    |
    | only in the reference  | 0                            | `None`    |

    A case without the label cannot show how well it is found; the predicted volume shows what was labelled
    falsely.

    Voxels whose reference is the `ignore` value are left out of overlaps and volumes. If there are any,
    distances and NSD are `None`: a surface that passes through unknown voxels is only partly known.

    Args:
        prediction: integer labels, shape (X, Y, Z).
        reference: integer labels, shape (X, Y, Z).
        spacing: voxel size along each axis, mm.
        case: name of the case in the scores.
        labels: labels to score, all above 0; by default every label above 0 in either map.
        ignore: value that marks ignored voxels in the reference, if there is one.

    Returns:
        One score per label, ascending.

    Raises:
        ValueError: if the shapes differ or are not 3D, the values are not integers, a spacing or a label
            is not above 0, or the ignore value is also a label or the only value.

    Example:
        >>> reference = np.zeros((4, 4, 4), np.uint8)
        >>> reference[1:3] = 1
        >>> score_labels(np.roll(reference, 1, axis=0), reference, (1, 1, 1))[0].dice
        0.5
    """
    _check_arrays(prediction, reference, spacing)
    chosen = None if labels is None else check_labels(labels)
    check_ignore(ignore, {label: label for label in chosen or ()})
    ignored = ignored_mask(reference, ignore, "reference")
    ml = float(np.prod(spacing)) / 1000
    return score_arrays(
        prediction, reference, spacing, ml, case=case, labels=chosen, ignored=ignored
    )


def dice_of(overlap: int, one: int, other: int) -> float:
    """Return the Dice of two sets of voxels from their overlap and sizes; 1 if both are empty."""
    return 2 * overlap / (one + other) if one + other else 1.0


def score_arrays(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    ml: float,
    *,
    case: str,
    labels: Iterable[int] | None,
    ignored: NDArray[np.bool_] | None,
    regions: Regions | None = None,
) -> list[CaseScore]:
    """Score arrays that were checked.

    Args:
        prediction: integer labels, shape (X, Y, Z).
        reference: integer labels, shape (X, Y, Z).
        spacing: voxel size along each axis, mm.
        ml: volume of a voxel, ml.
        case: name of the case in the scores.
        labels: labels to score; by default every label above 0 in either map.
        ignored: bool, shape (X, Y, Z), True for ignored voxels; None if there are none.
        regions: the regions, if labels overlap; then `labels` are labels of regions.
    """
    whole = ignored is None or not ignored.any()
    if ignored is not None and not whole:  # background in both maps affects no score
        prediction, reference = (np.where(ignored, 0, array) for array in (prediction, reference))
    foreground = (prediction > 0) | (reference > 0)
    # the scores depend only on this box, often a few per cent of the scan
    box = (find_objects(foreground.view(np.uint8)) or [(slice(0),) * 3])[0]
    prediction, reference = prediction[box], reference[box]
    chosen = _labels_in(prediction, reference) if labels is None else check_labels(labels)
    return [
        _score(
            _mask(prediction, label, regions),
            _mask(reference, label, regions),
            spacing,
            ml,
            case=case,
            label=label,
            whole=whole,
        )
        for label in chosen
    ]


def _mask(labels: np.ndarray, label: int, regions: Regions | None) -> np.ndarray:
    return labels == label if regions is None else regions.mask(labels, label)


def absent_score(case: str, label: int, *, whole: bool) -> CaseScore:
    """Return the score of a label that neither map of a case has.

    Args:
        case: name of the case.
        label: the label.
        whole: whether every voxel of the reference is known.
    """
    return _score(NOWHERE, NOWHERE, (1, 1, 1), 0.0, case=case, label=label, whole=whole)


def _score(
    predicted: np.ndarray,
    expected: np.ndarray,
    spacing: Sequence[float],
    ml: float,
    *,
    case: str,
    label: int,
    whole: bool,
) -> CaseScore:
    overlap = int(np.count_nonzero(predicted & expected))
    n_predicted, n_expected = (int(np.count_nonzero(mask)) for mask in (predicted, expected))
    dice: float | None = None
    precision: float | None = None
    recall: float | None = None
    distance: float | None = None
    hausdorff: float | None = None
    nsd: float | None = None
    if n_expected:
        dice = dice_of(overlap, n_predicted, n_expected)
        precision = overlap / max(n_predicted, 1)
        recall = overlap / n_expected
        nsd = 0.0 if whole else None
    if whole and n_predicted and n_expected:
        from monai_attn.metrics.surface_distances import (
            surface_score,  # torch takes seconds; no other score needs it
        )

        surface = surface_score(predicted, expected, spacing)
        distance, hausdorff, nsd = surface.surface_distance_mm, surface.hd95_mm, surface.nsd_2mm
    return CaseScore(
        case,
        label,
        dice=dice,
        precision=precision,
        recall=recall,
        surface_distance_mm=distance,
        hd95_mm=hausdorff,
        nsd_2mm=nsd,
        reference_ml=n_expected * ml,
        predicted_ml=n_predicted * ml,
    )


def _labels_in(*arrays: np.ndarray) -> list[int]:
    return sorted({int(label) for array in arrays for label in np.unique(array[array > 0])})


def check_labels(labels: Iterable[int]) -> list[int]:
    """Return labels to score, each once and ascending.

    Raises:
        ValueError: if one is not a whole number above 0.
    """
    labels = list(labels)
    for label in labels:
        if label != int(label) or label < 1:
            raise ValueError(
                f"labels: a label that cannot be scored (got {label}, expected whole numbers above 0). "
                "Leave out the background."
            )
    return sorted({int(label) for label in labels})


def _check_arrays(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> None:
    if prediction.ndim != 3 or prediction.shape != reference.shape:
        raise ValueError(
            f"prediction {prediction.shape} and reference {reference.shape}: shapes do not match "
            "(expected one shape (X, Y, Z)). Bring both to one grid."
        )
    for name, array in (("prediction", prediction), ("reference", reference)):
        if array.dtype.kind not in "iub":
            raise ValueError(
                f"{name}: no labels (got {array.dtype}, expected integers). Cast it first."
            )
    if len(spacing) != 3 or not all(0 < size < np.inf for size in spacing):
        raise ValueError(
            f"spacing (={tuple(spacing)}) must be three voxel sizes above 0 mm. Take them from the affine."
        )


def ignored_mask(
    reference: np.ndarray, ignore: int | None, path: str | Path
) -> NDArray[np.bool_] | None:
    """Return the mask of the ignored voxels, or None without an ignore value.

    Raises:
        ValueError: if all voxels are ignored; it names the path.
    """
    if ignore is None:
        return None
    ignored = reference == ignore
    if ignored.all():
        raise ValueError(no_known_voxel(path, ignore))
    return ignored
