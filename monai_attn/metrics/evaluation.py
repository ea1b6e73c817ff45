"""Evaluation of label maps against references: pairing, reading and checking, then scores.

Both label maps of a case must lie on one grid, so that a voxel is the same place in the patient; this is
checked. `label_scores` scores the arrays.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from monai_attn.datasets.ignore import check_ignore
from monai_attn.datasets.label_classes import in_classes
from monai_attn.datasets.pairs import pair_cases
from monai_attn.datasets.references import as_labels
from monai_attn.datasets.regions import Regions
from monai_attn.io.errors import ScanWarning
from monai_attn.io.grid import GRID_TOLERANCE, grid_offset, voxel_ml
from monai_attn.io.labels import labels_of
from monai_attn.io.reorder import order_doubt, reordered
from monai_attn.io.scan import read_volume
from monai_attn.io.volume import Volume
from monai_attn.metrics.label_scores import absent_score, check_labels, ignored_mask, score_arrays
from monai_attn.metrics.scores import CaseScore


def evaluate_files(
    prediction: str | Path,
    reference: str | Path,
    *,
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    partial: bool = False,
    regions: Regions | None = None,
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
            case whose reference lacks a label has no Dice for it: each mean is over the cases that have it.
        classes: the label of each value in the references, if they use other values than the
            predictions; any other value is background.
        ignore: value that marks ignored voxels in the references, if there is one: see `score_labels`.
        partial: whether references without a prediction are left out, with a `ScanWarning` that counts them.
        regions: the regions in the label maps, if labels overlap: then each region is scored, with all that
            is within it, under its label.
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
    pairs = pair_cases(prediction, reference, partial=partial)
    return evaluate_pairs(
        pairs, labels=labels, classes=classes, ignore=ignore, regions=regions, on_case=on_case
    )


def evaluate_pairs(
    pairs: Sequence[tuple[str, Path, Path]],
    *,
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    complete: bool = False,
    regions: Regions | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[CaseScore]:
    """Score pairs of a prediction and its reference, each with its case name, as `evaluate_files` does.

    With `complete`, `labels` are all possible labels: a reference with other values is refused, unless
    `classes` maps them to labels.

    Raises:
        ValueError: as `evaluate_files`, or if `complete` and a reference holds another value.
    """
    chosen = _chosen(labels, regions)
    check_ignore(ignore, classes or _own_values(chosen, regions))
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
            regions=regions,
        )
        scores += case_scores
        partly_known |= set() if whole else {pair[0]}
        on_case(done, len(pairs))
    scored = {(score.case, score.label) for score in scores}
    absent = [
        absent_score(case, label, whole=case not in partly_known)
        for case, label in product(
            (case for case, _, _ in pairs), {score.label for score in scores}
        )
        if (case, label) not in scored
    ]
    return sorted(scores + absent, key=lambda score: (score.case, score.label))


def evaluate_volumes(
    predicted: Volume,
    expected: Volume,
    *,
    case: str = "",
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    regions: Regions | None = None,
) -> list[CaseScore]:
    """Score a label map in memory against its reference, as `evaluate_files` does.

    Raises:
        ValueError: if one is no label map, their grids differ, or the ignore value is also a label.
    """
    chosen = _chosen(labels, regions)
    check_ignore(ignore, classes or _own_values(chosen, regions))
    return _score_volumes(
        case,
        predicted,
        expected,
        labels=chosen,
        classes=classes,
        ignore=ignore,
        complete=False,
        regions=regions,
    )[0]


def _chosen(labels: Iterable[int] | None, regions: Regions | None) -> list[int] | None:
    """Return the labels to score: those of all regions by default, if there are regions.

    Raises:
        ValueError: if a label cannot be scored, or is that of no region.
    """
    if labels is None:
        return None if regions is None else sorted(regions.labels)
    chosen = check_labels(labels)
    wrong = [label for label in chosen if regions and label not in regions.labels]
    if regions and wrong:
        raise ValueError(
            f"labels: {wrong[0]} is the label of no region (expected {', '.join(map(str, regions.labels))}). "
            "Leave it out."
        )
    return chosen


def _own_values(labels: Iterable[int] | None, regions: Regions | None) -> dict[int, int]:
    return {label: label for label in labels or ()} if regions is None else regions.targets()


def _score_volumes(
    case: str,
    predicted: Volume,
    expected: Volume,
    *,
    labels: list[int] | None,
    classes: Mapping[int, int] | None,
    ignore: int | None,
    complete: bool,
    regions: Regions | None,
) -> tuple[list[CaseScore], bool]:
    """Return the scores of a case, and whether every voxel of its reference is known."""
    expected = _on_grid_of(predicted, expected)
    reference_values = labels_of(expected)
    ignored = ignored_mask(reference_values, ignore, expected.path)
    if complete and labels is not None:
        values = as_labels(expected, _own_values(labels, regions), classes, ignore)
    else:
        values = reference_values if classes is None else in_classes(reference_values, classes)
        if regions is not None and classes is None:
            _note_values_of_no_region(values, regions, ignore, expected.path)
    scores = score_arrays(
        labels_of(predicted),
        values,
        voxel_sizes(expected.affine),
        voxel_ml(expected.affine),
        case=case,
        labels=labels,
        ignored=ignored,
        regions=regions,
    )
    return scores, ignored is None or not ignored.any()


def _note_values_of_no_region(
    values: NDArray[np.integer], regions: Regions, ignore: int | None, path: Path
) -> None:
    known = {0, *regions.known_values, *(() if ignore is None else (ignore,))}
    others = sorted({*np.unique(values).tolist()} - known)
    if others:
        warnings.warn(
            f"{path}: voxels of value {', '.join(map(str, others[:8]))} lie in no region and count as "
            "background. If they are not labelled, give the ignore value.",
            ScanWarning,
            stacklevel=2,
        )


def _on_grid_of(prediction: Volume, reference: Volume) -> Volume:
    """Return the reference in the prediction's order of axes, with a warning; refuse another grid."""
    if doubt := order_doubt(reference, prediction):
        warnings.warn(doubt, ScanWarning, stacklevel=2)
        return reordered(reference, prediction)
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
    return reference
