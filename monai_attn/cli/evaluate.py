"""`monai-attn evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_attn.cli.console import complain, out, progress_bars
from monai_attn.cli.options import (
    DebugOption,
    IgnoreOption,
    MapOption,
    TablesOption,
    labels_by_value,
    path_of,
)

if TYPE_CHECKING:
    from monai_attn.metrics.scores import CaseScore


def evaluate(
    prediction: Annotated[
        Path, typer.Argument(parser=path_of, help="A label map, or a folder of them.")
    ],
    reference: Annotated[
        Path, typer.Argument(parser=path_of, help="The reference for each: a file, or a folder.")
    ],
    output: TablesOption = None,
    mapped: MapOption = None,
    ignore: IgnoreOption = None,
    debug: DebugOption = False,
) -> None:
    """Score label maps against references: Dice, precision, recall, surface distances, volumes."""
    from monai_attn.io.tables import check_table_path
    from monai_attn.metrics.evaluation import evaluate_files
    from monai_attn.metrics.scores import score_table, write_summary

    for path in output or []:
        check_table_path(path)
    classes = labels_by_value(mapped)
    with progress_bars() as progress:
        task = progress.add_task("cases", total=None)
        scores = evaluate_files(
            prediction,
            reference,
            classes=classes,
            ignore=ignore,
            on_case=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for line in _doubts(scores, classes):
        complain("warning", line)
    out.print(score_table(scores) if scores else "no case has a label above 0, on either side")
    for path in output or []:
        written = write_summary(scores, path)
        out.print(f"scores: {written}", highlight=False, markup=False, soft_wrap=True)


def _doubts(scores: list[CaseScore], classes: dict[int, int] | None) -> Iterator[str]:
    """Yield a warning if the references seem to be labelled with other values than the predictions."""
    labels = {score.label for score in scores}
    expected = {score.label for score in scores if score.reference_ml}
    predicted = {score.label for score in scores if score.predicted_ml}
    if classes and predicted and not expected:
        yield f"no reference holds any of the values {', '.join(map(str, classes))}, which --map names"
    alone = sorted(labels - predicted)
    if not classes and predicted and alone:
        yield (
            f"in references alone are {', '.join(map(str, alone[:8]))}"
            f"{', ...' if len(alone) > 8 else ''}: if those are labelled with other values, say which "
            "stands for which label with --map"
        )
