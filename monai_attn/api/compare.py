"""Comparison of two models by the scores of the same cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_attn.metrics.comparison import METRICS, Difference, compare_scores, read_runs

Scores = str | Path | Sequence[str | Path]


def compare(a: Scores, b: Scores, *, metrics: Iterable[str] = METRICS) -> list[Difference]:
    """Compare two sets of scores case by case: B minus A, its 95 % interval and Wilcoxon's p.

    Args:
        a: scores that `evaluate` wrote as JSON, or a folder with `scores.json` or `eval/scores.json`; several
            runs are averaged.
        b: the scores of the other side, of the same cases.
        metrics: names of the metrics to compare; by default all.

    Returns:
        A row for each label and metric; `difference`, `low`, `high` and `p` are its main numbers.

    Raises:
        ValueError: if scores cannot be read, the cases of both sides differ, or a metric is unknown.

    Example:
        >>> compare("plain/scores.json", "gates/scores.json", metrics=["dice"])  # doctest: +SKIP
    """
    chosen = [metrics] if isinstance(metrics, str) else metrics
    return compare_scores(read_runs(_several(a)), read_runs(_several(b)), metrics=chosen)


def _several(scores: Scores) -> list[Path]:
    return [Path(scores)] if isinstance(scores, (str, Path)) else [Path(one) for one in scores]
