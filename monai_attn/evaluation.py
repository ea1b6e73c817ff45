"""How well predicted labels match reference labels: scores per case and label, and their summary.

Both label maps lie on one grid: voxel for voxel the same place in the patient. Arrays are taken to
be so; files are checked. Volumes are in millilitres, from the voxel spacing in mm.

Overlaps count voxels, as `monai.metrics.compute_dice` does; the tests compare the two. Surfaces are
measured by MONAI. This module exists for what MONAI leaves out: a rule for every empty label (MONAI
gives NaN or infinity), files that are paired and checked first, and tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from scipy.ndimage import find_objects

from monai_attn.data.grid import GRID_TOLERANCE, grid_offset, voxel_ml
from monai_attn.data.labels import labels_of
from monai_attn.data.pairs import pair_cases
from monai_attn.data.tables import write_table
from monai_attn.data.volume import Volume, read_volume


@dataclass(frozen=True)
class CaseScore:
    """The scores of one label in one case: overlaps in 0..1, distances in mm, volumes in ml.

    Never NaN: a distance is `None` where one of the two maps has no such label, and so no surface.
    """

    case: str
    label: int
    dice: float
    precision: float
    recall: float
    surface_distance_mm: float | None
    hd95_mm: float | None
    nsd_2mm: float
    reference_ml: float
    predicted_ml: float

    @property
    def volume_error_ml(self) -> float:
        """Predicted minus reference volume in ml: above 0 where too much was labelled."""
        return self.predicted_ml - self.reference_ml

    @property
    def absolute_volume_error_ml(self) -> float:
        """The size of the volume error in ml."""
        return abs(self.volume_error_ml)


COLUMNS = tuple(field.name for field in fields(CaseScore))
HEADINGS = (
    *("label", "Dice", "prec.", "recall", "MSD\nmm", "HD95\nmm", "NSD\n2 mm"),
    *("ref.\nml", "error\nml"),
)
NOWHERE = np.zeros((0, 0, 0), bool)


def score_labels(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    case: str = "",
    labels: Iterable[int] | None = None,
) -> list[CaseScore]:
    """Score each label of a predicted label map against the reference on the same grid.

    | voxels of the label    | dice, precision, recall, NSD | distances |
    |------------------------|------------------------------|-----------|
    | in neither             | 1                            | 0 mm      |
    | only in the prediction | 0                            | `None`    |
    | only in the reference  | 0                            | `None`    |

    Args:
        prediction: integer labels, shape (X, Y, Z).
        reference: integer labels, shape (X, Y, Z).
        spacing: voxel size along each axis, mm.
        case: name to carry in the scores.
        labels: labels to score, all above 0; by default every label above 0 in either map.

    Returns:
        One score per label, ascending.

    Raises:
        ValueError: if the shapes differ or are not 3D, the values are not integers, or a spacing or
            a label is not above 0.

    Example:
        >>> reference = np.zeros((4, 4, 4), np.uint8)
        >>> reference[1:3] = 1
        >>> score_labels(np.roll(reference, 1, axis=0), reference, (1, 1, 1))[0].dice
        0.5
    """
    _check_arrays(prediction, reference, spacing)
    ml = float(np.prod(spacing)) / 1000
    return _score_arrays(prediction, reference, spacing, ml, case=case, labels=labels)


def evaluate_files(
    prediction: str | Path,
    reference: str | Path,
    *,
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[CaseScore]:
    """Score a predicted NIfTI label map, or a folder of them, against the reference.

    Folders are paired by case name, see `pair_cases`. Labels are whole numbers up to 2**24 - 1. The
    volume of a voxel comes from the affine, so that it is right for a sheared grid too. Distances on a
    sheared grid (a tilted gantry) are measured as if its axes were at right angles: the spacing counts,
    the shear does not.

    Args:
        prediction: a label map file, or a folder of them.
        reference: the same kind, on the same grids.
        labels: labels to score; by default every label above 0 that occurs in any of the cases. A
            case that lacks a label in both maps scores 1 for it: each mean is over all cases.
        classes: the label that each value of the references stands for, where they were labelled with
            other values than the predictions; a value that is not named is background.
        on_case: called after each case with how many are done, and of how many.

    Returns:
        One score per case and label, sorted by case, then label.

    Raises:
        ValueError: if a path is missing, the cases do not pair up, a file is no label map, or two
            grids differ.

    Example:
        >>> scores = evaluate_files("out/", "labels/")  # doctest: +SKIP
        >>> write_summary(scores, "out/scores.json")  # doctest: +SKIP
    """
    pairs = pair_cases(prediction, reference)
    return evaluate_pairs(pairs, labels=labels, classes=classes, on_case=on_case)


def evaluate_pairs(
    pairs: Sequence[tuple[str, Path, Path]],
    *,
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[CaseScore]:
    """As `evaluate_files`, for pairs of a prediction and its reference under the name of their case."""
    chosen = None if labels is None else _checked_labels(labels)
    scores = []
    for done, pair in enumerate(pairs, 1):
        scores += _score_files(*pair, labels=chosen, classes=classes)
        on_case(done, len(pairs))
    scored = {(score.case, score.label) for score in scores}
    absent = [
        _score(NOWHERE, NOWHERE, (1, 1, 1), 0.0, case=case, label=label)
        for case, label in product(
            (case for case, _, _ in pairs), {score.label for score in scores}
        )
        if (case, label) not in scored
    ]
    return sorted(scores + absent, key=lambda score: (score.case, score.label))


def summarize(scores: Iterable[CaseScore]) -> dict[str, Any]:
    """Summarise scores as plain values, ready for JSON.

    Args:
        scores: of any number of cases and labels.

    Returns:
        `{"cases": [...], "mean": {...}}`: a row per score, and per label (a string, as JSON's keys
        are) the number of cases `n`, the mean of each column, `dice_median`, `dice_min` and
        `absolute_volume_error_ml`. The means of the distances are over the `n_surface` cases that have
        them, and `None` where no case has.

    Example:
        >>> summary = summarize([CaseScore("a", 1, 0.75, 0.75, 0.75, 1.2, 4.0, 0.9, 80.0, 80.0)])
        >>> summary["mean"]["1"]["dice"]
        0.75
    """
    scores = list(scores)
    by_label = {
        label: [score for score in scores if score.label == label]
        for label in sorted({score.label for score in scores})
    }
    return {
        "cases": [{**asdict(score), "volume_error_ml": score.volume_error_ml} for score in scores],
        "mean": {str(label): _summarize_label(group) for label, group in by_label.items()},
    }


def write_summary(scores: Iterable[CaseScore], path: str | Path) -> Path:
    """Write `summarize(scores)` as JSON, or its cases as CSV, by the suffix of the path.

    The file appears whole or not at all; its folder is made if needed. A distance that is `None` is
    null in JSON and an empty cell in CSV.

    Returns:
        The path written.

    Raises:
        ValueError: if the file name ends in neither .json nor .csv.
    """
    summary = summarize(scores)
    return write_table(path, summary, [*COLUMNS, "volume_error_ml"], summary["cases"])


def read_scores(path: str | Path) -> list[CaseScore]:
    """Read the scores that `write_summary` wrote as JSON.

    Raises:
        ValueError: if there is no such file, or a score in it lacks a value or comes twice.
    """
    try:
        rows = json.loads(Path(path).read_bytes())["cases"]
        scores = [CaseScore(**{name: row[name] for name in COLUMNS}) for row in rows]
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror}); a scores.json expected: give that of evaluate"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: holds no scores ({error!r:.60}); a scores.json of this version expected: run "
            "evaluate again"
        ) from error
    seen = set()
    for score in scores:
        fault = _fault(score)
        if fault or (score.case, score.label) in seen:
            raise ValueError(
                f"{path}: case {score.case!r:.60}, label {score.label!r:.20}: "
                f"{fault or 'comes twice'}; one whole score of each expected: run evaluate again"
            )
        seen.add((score.case, score.label))
    return scores


def score_table(scores: Iterable[CaseScore]) -> Table:
    """Lay out scores for the terminal: a row per case and label, then the means over cases."""
    scores = list(scores)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # fits 80 characters
    table.add_column("case", overflow="fold")  # a name that is cut short may be another's
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    summary = summarize(scores)
    for row in summary["cases"]:
        table.add_row(Text(row["case"]), str(row["label"]), *_cells(row))
    table.add_section()
    for label, row in summary["mean"].items():
        if row["n"] > 1:
            table.add_row(Text(f"mean of {row['n']}"), label, *_cells(row), style="bold")
    table.caption = "\n".join(_caption(*item) for item in summary["mean"].items()).strip() or None
    table.caption_justify = "left"
    return table


def _score_arrays(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    ml: float,
    *,
    case: str,
    labels: Iterable[int] | None,
) -> list[CaseScore]:
    """Score checked arrays; `ml` is the volume of a voxel."""
    foreground = (prediction > 0) | (reference > 0)
    # often a few per cent of a scan, and all that the scores depend on
    box = (find_objects(foreground.view(np.uint8)) or [(slice(0),) * 3])[0]
    prediction, reference = prediction[box], reference[box]
    chosen = _labels_in(prediction, reference) if labels is None else _checked_labels(labels)
    return [
        _score(prediction == label, reference == label, spacing, ml, case=case, label=label)
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
) -> CaseScore:
    overlap = int(np.count_nonzero(predicted & expected))
    n_predicted, n_expected = (int(np.count_nonzero(mask)) for mask in (predicted, expected))
    distance: float | None
    hausdorff: float | None
    if n_predicted == n_expected == 0:
        dice = precision = recall = nsd = 1.0
        distance = hausdorff = 0.0
    else:
        dice = 2 * overlap / (n_predicted + n_expected)
        precision = overlap / max(n_predicted, 1)
        recall = overlap / max(n_expected, 1)
        distance, hausdorff, nsd = None, None, 0.0
    if n_predicted and n_expected:
        from monai_attn.surface import surface_score  # torch takes seconds; no other score needs it

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
                f"labels: {label} cannot be scored; whole numbers above 0 expected: "
                "leave out the background"
            )
    return sorted({int(label) for label in labels})


def _check_arrays(prediction: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> None:
    if prediction.ndim != 3 or prediction.shape != reference.shape:
        raise ValueError(
            f"prediction {prediction.shape} and reference {reference.shape}: "
            "two arrays of one shape (X, Y, Z) expected: bring both to one grid"
        )
    for name, array in (("prediction", prediction), ("reference", reference)):
        if array.dtype.kind not in "iub":
            raise ValueError(f"{name}: dtype {array.dtype}; integer labels expected: cast it first")
    if len(spacing) != 3 or not all(0 < size < np.inf for size in spacing):
        raise ValueError(
            f"spacing {tuple(spacing)}: three voxel sizes above 0 mm expected: "
            "take them from the affine"
        )


def _score_files(
    case: str,
    prediction: Path,
    reference: Path,
    *,
    labels: list[int] | None,
    classes: Mapping[int, int] | None,
) -> list[CaseScore]:
    # labels are whole numbers, so a voxel that is none is an error and not air
    predicted, expected = (read_volume(path, fill=None) for path in (prediction, reference))
    _check_one_grid(predicted, expected)
    return _score_arrays(
        labels_of(predicted),
        _classes_of(labels_of(expected), classes),
        voxel_sizes(expected.affine),
        voxel_ml(expected.affine),
        case=case,
        labels=labels,
    )


def _classes_of(labels: np.ndarray, classes: Mapping[int, int] | None) -> np.ndarray:
    if classes is None:
        return labels
    found = np.zeros_like(labels)
    for value, label in classes.items():
        found[labels == value] = label
    return found


def _check_one_grid(prediction: Volume, reference: Volume) -> None:
    remedy = "resample the prediction to the reference's grid, nearest neighbour"
    shapes = prediction.data.shape, reference.data.shape
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{prediction.path}: shape {shapes[0]}, but {reference.path} has {shapes[1]}; "
            f"one grid expected: {remedy}"
        )
    offset = grid_offset(shapes[0], prediction.affine, reference.affine)
    if offset > GRID_TOLERANCE:
        raise ValueError(
            f"{prediction.path}: affine puts a corner of the grid {offset:.4g} mm away from where "
            f"{reference.path} has it; at most {GRID_TOLERANCE} mm expected: {remedy}"
        )


def _summarize_label(scores: list[CaseScore]) -> dict[str, float | None]:
    dice = [score.dice for score in scores]
    distances = [score.surface_distance_mm for score in scores]
    return {
        "n": len(scores),
        "n_surface": sum(distance is not None for distance in distances),
        "dice": fmean(dice),
        "dice_median": median(dice),
        "dice_min": min(dice),
        "precision": fmean(score.precision for score in scores),
        "recall": fmean(score.recall for score in scores),
        "surface_distance_mm": _mean_of_known(distances),
        "hd95_mm": _mean_of_known([score.hd95_mm for score in scores]),
        "nsd_2mm": fmean(score.nsd_2mm for score in scores),
        "reference_ml": fmean(score.reference_ml for score in scores),
        "predicted_ml": fmean(score.predicted_ml for score in scores),
        "volume_error_ml": fmean(score.volume_error_ml for score in scores),
        "absolute_volume_error_ml": fmean(score.absolute_volume_error_ml for score in scores),
    }


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _cells(row: dict[str, Any]) -> list[str]:
    distances = [
        "-" if row[name] is None else f"{row[name]:.2f}"
        for name in ("surface_distance_mm", "hd95_mm")
    ]
    return [
        *[f"{row[name]:.3f}" for name in ("dice", "precision", "recall")],
        *distances,
        f"{row['nsd_2mm']:.3f}",
        f"{row['reference_ml']:.1f}",
        f"{row['volume_error_ml']:+.1f}",
    ]


def _caption(label: str, row: dict[str, Any]) -> str:
    """What there is to say of the means of a label, or nothing."""
    if row["n_surface"] == row["n"]:
        return ""
    return (
        f"label {label}: MSD and HD95 of {row['n_surface']} of {row['n']} cases; "
        "the others have it in one map only"
    )


def _fault(score: CaseScore) -> str:
    """What is wrong with a score from a file, or nothing."""
    if not isinstance(score.case, str) or type(score.label) is not int:
        return "no case's name with a whole number"
    for name in COLUMNS[2:]:
        value = getattr(score, name)
        known = type(value) in (int, float) and math.isfinite(value)
        if not known and not (value is None and name in ("surface_distance_mm", "hd95_mm")):
            return f"{name} is {value!r:.20}"
    return ""
