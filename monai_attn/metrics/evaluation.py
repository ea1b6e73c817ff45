"""Scores of predicted labels against reference labels, per case and label.

Both label maps must lie on one grid, so that a voxel is the same place in the patient. This is assumed
for arrays and checked for files. Volumes are in millilitres, from the voxel spacing in mm.

Overlaps count voxels, as `monai.metrics.compute_dice` does; the tests compare the two. Surfaces are
measured by MONAI. This module adds what MONAI lacks: a rule for empty labels (MONAI returns NaN or
infinity), and the pairing and checking of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from monai_attn.datasets.ignore import check_ignore, no_known_voxel
from monai_attn.datasets.label_classes import in_classes
from monai_attn.datasets.pairs import pair_cases
from monai_attn.datasets.references import as_labels
from monai_attn.io.grid import GRID_TOLERANCE, grid_offset, voxel_ml
from monai_attn.io.labels import labels_of
from monai_attn.io.scan import read_volume
from monai_attn.io.volume import Volume
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
    | in neither             | 1                            | 0 mm      |
    | only in the prediction | 0                            | `None`    |
    | only in the reference  | 0                            | `None`    |

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
    chosen = None if labels is None else _checked_labels(labels)
    check_ignore(ignore, {label: label for label in chosen or ()})
    ignored = _ignored(reference, ignore, "reference")
    ml = float(np.prod(spacing)) / 1000
    return _score_arrays(
        prediction, reference, spacing, ml, case=case, labels=chosen, ignored=ignored
    )


def evaluate_files(
    prediction: str | Path,
    reference: str | Path,
    *,
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[CaseScore]:
    """Score a predicted NIfTI label map, or a folder of them, against the reference.

    Folders are paired by case name, see `pair_cases`. Labels are whole numbers up to 2**24 - 1. The
    volume of a voxel comes from the affine, so that it is also right on a sheared grid. Distances on a
    sheared grid (a tilted gantry) are measured as if its axes were at right angles: they use the spacing
    and ignore the shear.

    Args:
        prediction: a label map file, or a folder of them.
        reference: the same kind, on the same grids.
        labels: labels to score; by default every label above 0 that occurs in any of the cases. A
            case that lacks a label in both maps scores 1 for it: each mean is over all cases.
        classes: the label of each value in the references, if they use other values than the
            predictions; any other value is background.
        ignore: value that marks ignored voxels in the references, if there is one: see `score_labels`.
        on_case: called after each case with the number of cases done and the number of all cases.

    Returns:
        One score per case and label, sorted by case, then label.

    Raises:
        ValueError: if a path is missing, the cases do not pair up, a file is not a label map, two grids
            differ, or the ignore value is also a label or the only value of a reference.

    Example:
        >>> scores = evaluate_files("out/", "labels/")  # doctest: +SKIP
        >>> write_summary(scores, "out/scores.json")  # doctest: +SKIP
    """
    pairs = pair_cases(prediction, reference)
    return evaluate_pairs(pairs, labels=labels, classes=classes, ignore=ignore, on_case=on_case)


def evaluate_pairs(
    pairs: Sequence[tuple[str, Path, Path]],
    *,
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    complete: bool = False,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[CaseScore]:
    """Score pairs of a prediction and its reference, each with its case name, as `evaluate_files` does.

    With `complete`, `labels` are all possible labels: a reference with other values is refused, unless
    `classes` maps them to labels.

    Raises:
        ValueError: as `evaluate_files`, or if `complete` and a reference holds another value.
    """
    chosen = None if labels is None else _checked_labels(labels)
    check_ignore(ignore, classes or {label: label for label in chosen or ()})
    scores, partly_known = [], set()
    for done, pair in enumerate(pairs, 1):
        case, *paths = pair
        # a voxel without a number is an error in a label map, and is not filled with air
        predicted, expected = (read_volume(path, fill=None) for path in paths)
        case_scores, whole = _score_volumes(
            case,
            predicted,
            expected,
            labels=chosen,
            classes=classes,
            ignore=ignore,
            complete=complete,
        )
        scores += case_scores
        partly_known |= set() if whole else {pair[0]}
        on_case(done, len(pairs))
    scored = {(score.case, score.label) for score in scores}
    absent = [
        _score(
            NOWHERE, NOWHERE, (1, 1, 1), 0.0, case=case, label=label, whole=case not in partly_known
        )
        for case, label in product(
            (case for case, _, _ in pairs), {score.label for score in scores}
        )
        if (case, label) not in scored
    ]
    return sorted(scores + absent, key=lambda score: (score.case, score.label))


def dice_of(overlap: int, one: int, other: int) -> float:
    """Return the Dice of two sets of voxels from their overlap and sizes; 1 if both are empty."""
    return 2 * overlap / (one + other) if one + other else 1.0


def _score_arrays(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    ml: float,
    *,
    case: str,
    labels: Iterable[int] | None,
    ignored: NDArray[np.bool_] | None,
) -> list[CaseScore]:
    """Score checked arrays; `ml` is the volume of a voxel, `ignored` the mask of ignored voxels."""
    whole = ignored is None or not ignored.any()
    if ignored is not None and not whole:  # background in both maps affects no score
        prediction, reference = (np.where(ignored, 0, array) for array in (prediction, reference))
    foreground = (prediction > 0) | (reference > 0)
    # the scores depend only on this box, often a few per cent of the scan
    box = (find_objects(foreground.view(np.uint8)) or [(slice(0),) * 3])[0]
    prediction, reference = prediction[box], reference[box]
    chosen = _labels_in(prediction, reference) if labels is None else _checked_labels(labels)
    return [
        _score(
            prediction == label,
            reference == label,
            spacing,
            ml,
            case=case,
            label=label,
            whole=whole,
        )
        for label in chosen
    ]


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
    distance: float | None
    hausdorff: float | None
    nsd: float | None
    dice = dice_of(overlap, n_predicted, n_expected)
    if n_predicted == n_expected == 0:
        precision = recall = nsd = 1.0
        distance = hausdorff = 0.0
    else:
        precision = overlap / max(n_predicted, 1)
        recall = overlap / max(n_expected, 1)
        distance, hausdorff, nsd = None, None, 0.0
    if not whole:
        distance, hausdorff, nsd = None, None, None
    elif n_predicted and n_expected:
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


def _checked_labels(labels: Iterable[int]) -> list[int]:
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


def evaluate_volumes(
    predicted: Volume,
    expected: Volume,
    *,
    case: str = "",
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
) -> list[CaseScore]:
    """Score a label map in memory against its reference, as `evaluate_files` does.

    Raises:
        ValueError: if one is no label map, their grids differ, or the ignore value is also a label.
    """
    chosen = None if labels is None else _checked_labels(labels)
    check_ignore(ignore, classes or {label: label for label in chosen or ()})
    return _score_volumes(
        case, predicted, expected, labels=chosen, classes=classes, ignore=ignore, complete=False
    )[0]


def _score_volumes(
    case: str,
    predicted: Volume,
    expected: Volume,
    *,
    labels: list[int] | None,
    classes: Mapping[int, int] | None,
    ignore: int | None,
    complete: bool,
) -> tuple[list[CaseScore], bool]:
    """Return the scores of a case, and whether every voxel of its reference is known."""
    _check_one_grid(predicted, expected)
    reference_values = labels_of(expected)
    ignored = _ignored(reference_values, ignore, expected.path)
    if complete and labels is not None:
        values = as_labels(expected, {label: label for label in labels}, classes, ignore)
    else:
        values = reference_values if classes is None else in_classes(reference_values, classes)
    scores = _score_arrays(
        labels_of(predicted),
        values,
        voxel_sizes(expected.affine),
        voxel_ml(expected.affine),
        case=case,
        labels=labels,
        ignored=ignored,
    )
    return scores, ignored is None or not ignored.any()


def _ignored(
    reference: np.ndarray, ignore: int | None, path: str | Path
) -> NDArray[np.bool_] | None:
    """Return the mask of the ignored voxels, or None without an ignore value; refuse if all are ignored."""
    if ignore is None:
        return None
    ignored = reference == ignore
    if ignored.all():
        raise ValueError(no_known_voxel(path, ignore))
    return ignored


def _check_one_grid(prediction: Volume, reference: Volume) -> None:
    remedy = "Resample the prediction to the reference's grid, by nearest neighbour."
    shapes = prediction.data.shape, reference.data.shape
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{prediction.path}: is not on the grid of {reference.path} (got shape {shapes[0]}, expected "
            f"{shapes[1]}). {remedy}"
        )
    offset = grid_offset(shapes[0], prediction.affine, reference.affine)
    if offset > GRID_TOLERANCE:
        raise ValueError(
            f"{prediction.path}: is not on the grid of {reference.path} (got corners {offset:.4g} mm "
            f"apart, expected at most {GRID_TOLERANCE} mm). {remedy}"
        )
