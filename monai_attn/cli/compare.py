"""`monai-attn compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import out, written
from monai_attn.cli.options import DebugOption, TablesOption, path_of


def compare(
    a: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            parser=path_of,
            help="Scores that `monai-attn evaluate` wrote as JSON, or a folder with scores.json or "
            "eval/scores.json.",
        ),
    ],
    b: Annotated[
        Path,
        typer.Argument(
            metavar="B", parser=path_of, help="Scores to compare with A, of the same cases."
        ),
    ],
    more_a: Annotated[
        list[Path] | None,
        typer.Option(
            "--a",
            parser=path_of,
            metavar="RUN",
            help="Further run of A, to average with it (repeatable).",
        ),
    ] = None,
    more_b: Annotated[
        list[Path] | None,
        typer.Option(
            "--b",
            parser=path_of,
            metavar="RUN",
            help="Further run of B, to average with it (repeatable).",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Metric to compare, such as dice (repeatable); by default all.",
        ),
    ] = None,
    output: TablesOption = None,
    debug: DebugOption = False,
) -> None:
    """Compare two sets of scores case by case: B - A, its 95 % interval and Wilcoxon's p."""
    from monai_attn.io.tables import check_table_path
    from monai_attn.metrics.comparison import (
        COLUMNS,
        KEYS,
        METRICS,
        compare_scores,
        comparison_table,
        read_runs,
        write_comparison,
    )

    for path in output or []:
        check_table_path(path, KEYS, COLUMNS)
    runs_a, runs_b = read_runs([a, *(more_a or [])]), read_runs([b, *(more_b or [])])
    differences = compare_scores(runs_a, runs_b, metrics=metric or METRICS)
    for side, runs in (("A", runs_a), ("B", runs_b)):
        out.print(f"{side}: {', '.join(runs)}", highlight=False, markup=False, soft_wrap=True)
    out.print(comparison_table(differences))
    for path in output or []:
        written("comparison", write_comparison(differences, path, a=runs_a, b=runs_b))
