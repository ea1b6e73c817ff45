"""How well predicted labels match reference labels: scores per case and label, and their summary.

Both label maps lie on one grid: voxel for voxel the same place in the patient. Arrays are taken to
be so; files are checked. Volumes are in millilitres, from the voxel spacing in mm.

The scores count voxels, as `monai.metrics.compute_dice` does; the tests compare the two. This
module exists for what MONAI leaves out: a score for every empty label (MONAI gives NaN), files that
are paired and checked first, and tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from monai_attn.data.files import written_whole
from monai_attn.data.grid import GRID_TOLERANCE, grid_offset, voxel_ml
from monai_attn.data.labels import labels_of
from monai_attn.data.pairs import pair_cases
from monai_attn.data.volume import Volume, read_volume


@dataclass(frozen=True)
class CaseScore:
    """The scores of one label in one case: overlaps in 0..1, never NaN, and volumes in ml."""

    case: str
    label: int
    dice: float
    precision: float
    recall: float
    reference_ml: float
    predicted_ml: float

    @property
    def volume_error_ml(self) -> float:
        """Predicted minus reference volume in ml: above 0 where too much was labelled."""
        return self.predicted_ml - self.reference_ml


def score_labels(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    *,
    case: str = "",
    labels: Iterable[int] | None = None,
) -> list[CaseScore]:
    """Score each label of a predicted label map against the reference on the same grid.

    | voxels of the label    | dice | precision | recall |
    |------------------------|------|-----------|--------|
    | in neither             | 1    | 1         | 1      |
    | only in the prediction | 0    | 0         | 0      |
    | only in the reference  | 0    | 0         | 0      |

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
    return _score_arrays(prediction, reference, ml, case=case, labels=labels)


def evaluate_files(
    prediction: str | Path,
    reference: str | Path,
    *,
    labels: Iterable[int] | None = None,
) -> list[CaseScore]:
    """Score a predicted NIfTI label map, or a folder of them, against the reference.

    Folders are paired by case name, see `pair_cases`. Labels are whole numbers up to 2**24 - 1. The
    volume of a voxel comes from the affine, so that it is right for a sheared grid too.

    Args:
        prediction: a label map file, or a folder of them.
        reference: the same kind, on the same grids.
        labels: labels to score; by default every label above 0 that occurs in any of the cases. A
            case that lacks a label in both maps scores 1 for it: each mean is over all cases.

    Returns:
        One score per case and label, sorted by case, then label.

    Raises:
        ValueError: if a path is missing, the cases do not pair up, a file is no label map, or two
            grids differ.

    Example:
        >>> scores = evaluate_files("out/", "labels/")  # doctest: +SKIP
        >>> write_summary(scores, "out/scores.json")  # doctest: +SKIP
    """
    chosen = None if labels is None else _checked_labels(labels)
    pairs = pair_cases(prediction, reference)
    scores = [score for pair in pairs for score in _score_files(*pair, labels=chosen)]
    scored = {(score.case, score.label) for score in scores}
    absent = [
        CaseScore(case, label, 1.0, 1.0, 1.0, 0.0, 0.0)
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
        `absolute_volume_error_ml`.

    Example:
        >>> summary = summarize([CaseScore("a", 1, 0.75, 0.75, 0.75, 80.0, 80.0)])
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
    """Write `summarize(scores)` as JSON.

    The file appears whole or not at all; its folder is made if needed.

    Returns:
        The path written.

    Raises:
        ValueError: if the file name does not end in .json.
    """
    if Path(path).suffix.lower() != ".json":
        raise ValueError(f"{path}: suffix '{Path(path).suffix}'; '.json' expected: rename the file")
    text = json.dumps(summarize(scores), indent=2, allow_nan=False) + "\n"
    with written_whole(path) as file:
        file.write(text.encode())
    return Path(path)


def score_table(scores: Iterable[CaseScore]) -> Table:
    """Lay out scores for the terminal: a row per case and label, then the means over cases."""
    scores = list(scores)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # fits 80 characters
    table.add_column("case", no_wrap=True)
    for heading in ("label", "dice", "precision", "recall", "ref. ml", "pred. ml", "error ml"):
        table.add_column(heading, justify="right")
    summary = summarize(scores)
    for row in summary["cases"]:
        table.add_row(Text(row["case"]), str(row["label"]), *_cells(row))
    table.add_section()
    for label, row in summary["mean"].items():
        if row["n"] > 1:
            table.add_row(Text(f"mean of {row['n']}"), label, *_cells(row), style="bold")
    return table


def _score_arrays(
    prediction: np.ndarray,
    reference: np.ndarray,
    ml: float,
    *,
    case: str,
    labels: Iterable[int] | None,
) -> list[CaseScore]:
    """Score checked arrays; `ml` is the volume of a voxel."""
    # a few per cent of a scan, and all that the scores depend on
    foreground = (prediction > 0) | (reference > 0)
    prediction, reference = prediction[foreground], reference[foreground]
    chosen = _labels_in(prediction, reference) if labels is None else _checked_labels(labels)
    return [
        _score(prediction == label, reference == label, ml, case=case, label=label)
        for label in chosen
    ]


def _score(
    predicted: np.ndarray, expected: np.ndarray, ml: float, *, case: str, label: int
) -> CaseScore:
    overlap = int((predicted & expected).sum())
    n_predicted, n_expected = int(predicted.sum()), int(expected.sum())
    if n_predicted == n_expected == 0:
        dice = precision = recall = 1.0
    else:
        dice = 2 * overlap / (n_predicted + n_expected)
        precision = overlap / max(n_predicted, 1)
        recall = overlap / max(n_expected, 1)
    return CaseScore(case, label, dice, precision, recall, n_expected * ml, n_predicted * ml)


def _labels_in(*arrays: np.ndarray) -> list[int]:
    return sorted({int(label) for array in arrays for label in np.unique(array) if label > 0})


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
    case: str, prediction: Path, reference: Path, *, labels: list[int] | None
) -> list[CaseScore]:
    # labels are whole numbers, so a voxel that is none is an error and not air
    predicted, expected = (read_volume(path, fill=None) for path in (prediction, reference))
    _check_one_grid(predicted, expected)
    return _score_arrays(
        labels_of(predicted),
        labels_of(expected),
        voxel_ml(expected.affine),
        case=case,
        labels=labels,
    )


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


def _summarize_label(scores: list[CaseScore]) -> dict[str, float]:
    dice = [score.dice for score in scores]
    return {
        "n": len(scores),
        "dice": fmean(dice),
        "dice_median": median(dice),
        "dice_min": min(dice),
        "precision": fmean(score.precision for score in scores),
        "recall": fmean(score.recall for score in scores),
        "reference_ml": fmean(score.reference_ml for score in scores),
        "predicted_ml": fmean(score.predicted_ml for score in scores),
        "volume_error_ml": fmean(score.volume_error_ml for score in scores),
        "absolute_volume_error_ml": fmean(abs(score.volume_error_ml) for score in scores),
    }


def _cells(row: dict[str, float]) -> list[str]:
    overlaps = [f"{row[name]:.3f}" for name in ("dice", "precision", "recall")]
    volumes = [f"{row[name]:.1f}" for name in ("reference_ml", "predicted_ml")]
    return [*overlaps, *volumes, f"{row['volume_error_ml']:+.1f}"]
