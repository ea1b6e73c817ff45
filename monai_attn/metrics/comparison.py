"""Comparison of two models on the same cases: paired differences with intervals and p-values.

A and B are two models, or two ways to train one model. Each side is one run, or several runs that differ
only by chance, such as their seed: then the scores of a case are first averaged over the runs of its side,
so that every case counts once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import chain
from math import isclose
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import bootstrap, wilcoxon

from monai_attn.io.tables import write_table
from monai_attn.metrics.scores import CaseScore, read_scores

# the metrics, and whether a higher (1) or a lower (-1) value is better
METRICS = {
    "dice": 1,
    "precision": 1,
    "recall": 1,
    "surface_distance_mm": -1,
    "hd95_mm": -1,
    "nsd_2mm": 1,
    "absolute_volume_error_ml": -1,
}
SHORT = {  # name in the table, digits
    "dice": ("Dice", 3),
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "surface_distance_mm": ("MSD mm", 2),
    "hd95_mm": ("HD95 mm", 2),
    "nsd_2mm": ("NSD 2 mm", 3),
    "absolute_volume_error_ml": ("|error| ml", 1),
}
CONFIDENCE, RESAMPLES, SEED = 0.95, 9999, 0
DIGITS = 12  # decimals of a difference: rounding in a mean of equal scores is no difference
SAME_ML = 1e-6  # relative; two references of one case have the same volume
NAMED = 5  # cases that an error names

Runs = Mapping[str, Iterable[CaseScore]]
Key = tuple[str, int]


@dataclass(frozen=True)
class Difference:
    """The difference of B from A in one metric of one label, over the cases in which both have a value.

    Attributes:
        label: the label.
        metric: a key of `METRICS`.
        n: number of cases in which both sides have a value; below two, the other numbers are `None`.
        mean_a: mean of A over these cases.
        mean_b: mean of B over these cases.
        difference: mean of B - A.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        p: p-value of the two-sided Wilcoxon signed-rank test.
        n_better: number of cases in which B is better: above A, or below A for distances and errors.
    """

    label: int
    metric: str
    n: int
    mean_a: float | None = None
    mean_b: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n_better: int | None = None


KEYS = ("a", "b", "differences")  # of the JSON of a comparison
COLUMNS = tuple(field.name for field in fields(Difference))


def compare_scores(
    a: Runs, b: Runs, *, metrics: Iterable[str] = tuple(METRICS)
) -> list[Difference]:
    """Compare the scores of two sides, case by case.

    A distance counts only in the cases in which every run of both sides has one. The interval is the BCa
    bootstrap over cases, with 9999 resamples from a fixed seed; if all differences are equal, it is their
    value. Wilcoxon's p is exact for up to 50 cases without ties or 13 with ties, otherwise the normal
    approximation; cases without a difference are left out, and p is 1 if no case differs.

    Args:
        a: the scores of the runs of one side, by name. All runs have the same cases, such as several
            seeds, or no two runs have a case in common, such as folds: folds count as one run.
        b: the runs of the other side.
        metrics: keys of `METRICS`.

    Returns:
        A row per label and metric.

    Raises:
        ValueError: if the runs do not have the same cases and labels, their references differ, a label
            has fewer than two cases, or a metric is unknown.

    Example:
        >>> scores = [CaseScore(case, 1, 0.8, 0.8, 0.8, 1.0, 3.0, 0.9, 80.0, 80.0) for case in "xyz"]
        >>> compare_scores({"a": scores}, {"b": scores}, metrics=["dice"])[0].p
        1.0
    """
    metrics = list(metrics)
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(f"metric (={metric!r}) must be one of {', '.join(METRICS)}")
    sides = [_pooled([(name, _by_key(scores)) for name, scores in runs.items()]) for runs in (a, b)]
    _check_pairs(list(chain(*sides)))
    first = sides[0][0][1]
    return [
        _difference(label, metric, *[_means(side, label, metric) for side in sides])
        for label in sorted({label for _, label in first})
        for metric in metrics
    ]


def read_runs(paths: Iterable[str | Path]) -> dict[str, list[CaseScore]]:
    """Read the runs of one side.

    Args:
        paths: a scores JSON that `monai-attn evaluate` wrote, or a folder with `scores.json` or
            `eval/scores.json` in it.

    Raises:
        ValueError: if a path holds no scores, or is given twice.
    """
    runs: dict[str, list[CaseScore]] = {}
    for path in paths:
        if str(path) in runs:
            raise ValueError(
                f"{path}: given twice on one side (expected each run once). Remove one of them."
            )
        runs[str(path)] = read_scores(_scores_file(Path(path)))
    return runs


def write_comparison(
    differences: Iterable[Difference],
    path: str | Path,
    *,
    a: Iterable[str] = (),
    b: Iterable[str] = (),
) -> Path:
    """Write differences as JSON or CSV, by the suffix of the path.

    Args:
        differences: result of `compare_scores`.
        path: file name that ends in .json or .csv.
        a: names of the runs of one side, for JSON.
        b: names of the runs of the other side.

    Raises:
        ValueError: if the file name ends in neither .json nor .csv.
    """
    rows = [asdict(difference) for difference in differences]
    content = {
        "a": list(a),
        "b": list(b),
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "differences": rows,
    }
    return write_table(path, content, COLUMNS, rows)


def comparison_table(differences: Iterable[Difference]) -> Table:
    """Lay out differences for the terminal: a row per label and metric."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # fits 80 characters
    table.add_column("label", justify="right", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for heading in ("A", "B", "B - A", "95 % interval", "p", "B\nbetter"):
        table.add_column(heading, justify="right", no_wrap=True)
    for difference in differences:
        table.add_row(*_cells(difference))
    return table


def _by_key(scores: Iterable[CaseScore]) -> dict[Key, CaseScore]:
    return {(score.case, score.label): score for score in scores}


def _pooled(runs: list[tuple[str, dict[Key, CaseScore]]]) -> list[tuple[str, dict[Key, CaseScore]]]:
    """Return the runs of a side; runs without a common case, such as folds, become one run."""
    cases = [case for _, scores in runs for case in {case for case, _ in scores}]
    if len(runs) < 2 or len(set(cases)) < len(cases):
        return runs
    together = {key: score for _, scores in runs for key, score in scores.items()}
    return [(", ".join(name for name, _ in runs), together)]


def _check_pairs(runs: list[tuple[str, dict[Key, CaseScore]]]) -> None:
    """Refuse runs that were not scored on the same labels of the same cases, or on too few."""
    if not runs:
        raise ValueError("no scores to compare (expected a run on each side). Give their files.")
    first, scores = runs[0]
    for name, others in runs[1:]:
        for lacks, has, unpaired in (
            (name, first, scores.keys() - others.keys()),
            (first, name, others.keys() - scores.keys()),
        ):
            if unpaired:
                raise ValueError(
                    f"{lacks}: no score of {_listed(unpaired)}, but {has} has one (expected the same "
                    "cases and labels). Evaluate both on the same references."
                )
        changed = [
            key
            for key, score in scores.items()
            if not isclose(score.reference_ml, others[key].reference_ml, rel_tol=SAME_ML)
        ]
        if changed:
            raise ValueError(
                f"{name}: another reference volume than in {first} for {_listed(changed)} (expected the "
                "same references). Evaluate both on the same references."
            )
    labels = [label for _, label in scores]
    if not labels:
        raise ValueError(f"{first}: no scores (expected two cases or more). Evaluate more cases.")
    for label in sorted(set(labels)):
        if labels.count(label) < 2:
            raise ValueError(
                f"{first}: 1 case of label {label} (expected two or more). Evaluate more cases."
            )


def _listed(keys: Iterable[Key]) -> str:
    keys = sorted(keys)
    names = ", ".join(f"case {case} label {label}" for case, label in keys[:NAMED])
    return names + (f" and {len(keys) - NAMED} more" if len(keys) > NAMED else "")


def _means(
    side: list[tuple[str, dict[Key, CaseScore]]], label: int, metric: str
) -> dict[str, float]:
    """Average a metric of each case over the runs of a side; leave out cases in which a run has none."""
    values = {
        case: [getattr(scores[case, label], metric) for _, scores in side]
        for case, scored_label in sorted(side[0][1])
        if scored_label == label
    }
    return {case: fmean(scores) for case, scores in values.items() if None not in scores}


def _difference(label: int, metric: str, a: dict[str, float], b: dict[str, float]) -> Difference:
    cases = [case for case in a if case in b]
    if len(cases) < 2:
        return Difference(label, metric, len(cases))
    before, after = (np.array([side[case] for case in cases]) for side in (a, b))
    differences = np.round(after - before, DIGITS)
    low, high = (round(end, DIGITS) for end in _interval(differences))
    return Difference(
        label,
        metric,
        len(cases),
        mean_a=float(before.mean()),
        mean_b=float(after.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        p=_p_value(differences),
        n_better=int(np.count_nonzero(METRICS[metric] * differences > 0)),
    )


def _interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Return the bootstrap interval of the mean; of equal differences, where BCa is NaN, their value."""
    ends = _bootstrap(differences, "BCa")
    return ends if np.isfinite(ends).all() else _bootstrap(differences, "percentile")


def _bootstrap(differences: NDArray[np.float64], method: str) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about equal differences
        bounds = bootstrap(
            (differences,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=500,  # limits the memory with thousands of cases
            confidence_level=CONFIDENCE,
            method=method,
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    return float(bounds.low), float(bounds.high)


def _p_value(differences: NDArray[np.float64]) -> float:
    differing = differences[differences != 0]
    return float(wilcoxon(differing).pvalue) if differing.size else 1.0


def _scores_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    candidates = [path / "scores.json", path / "eval" / "scores.json"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ValueError(
        f"{path}: neither scores.json nor eval/scores.json in it (expected the scores of a run). Evaluate "
        f"the run, and write its scores to {candidates[0]}."
    )


def _cells(row: Difference) -> list[str]:
    name, digits = SHORT[row.metric]
    if row.difference is None:
        return [str(row.label), name, "-", "-", "-", "-", "-", f"-/{row.n}"]
    p = "<0.001" if row.p is not None and row.p < 0.001 else f"{row.p:.3f}"
    return [
        str(row.label),
        name,
        f"{row.mean_a:.{digits}f}",
        f"{row.mean_b:.{digits}f}",
        f"{row.difference:+.{digits}f}",
        f"{row.low:+.{digits}f} .. {row.high:+.{digits}f}",
        p,
        f"{row.n_better}/{row.n}",
    ]
