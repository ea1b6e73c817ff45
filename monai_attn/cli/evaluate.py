"""`monai-attn evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import out, progress_bars
from monai_attn.cli.options import DebugOption, MapOption, TablesOption, labels_by_value, path_of


def evaluate(
    prediction: Annotated[
        Path, typer.Argument(parser=path_of, help="A label map, or a folder of them.")
    ],
    reference: Annotated[
        Path, typer.Argument(parser=path_of, help="The reference for each: a file, or a folder.")
    ],
    output: TablesOption = None,
    mapped: MapOption = None,
    debug: DebugOption = False,
) -> None:
    """Score label maps against references: Dice, precision, recall, surface distances, volumes."""
    from monai_attn.data.tables import check_table_path
    from monai_attn.evaluation import evaluate_files
    from monai_attn.scores import score_table, write_summary

    for path in output or []:
        check_table_path(path)
    classes = labels_by_value(mapped)
    with progress_bars() as progress:
        task = progress.add_task("cases", total=None)
        scores = evaluate_files(
            prediction,
            reference,
            classes=classes,
            on_case=lambda done, total: progress.update(task, completed=done, total=total),
        )
    out.print(score_table(scores) if scores else "no case has a label above 0, on either side")
    for path in output or []:
        written = write_summary(scores, path)
        out.print(f"scores: {written}", highlight=False, markup=False, soft_wrap=True)
