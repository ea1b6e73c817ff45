"""`monai-attn evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import out
from monai_attn.cli.options import DebugOption, path_of


def evaluate(
    prediction: Annotated[
        Path, typer.Argument(parser=path_of, help="A label map, or a folder of them.")
    ],
    reference: Annotated[
        Path, typer.Argument(parser=path_of, help="The reference for each: a file, or a folder.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=path_of,
            metavar="PATH",
            help="Also write the scores to this JSON file.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Score label maps against references: Dice, precision, recall, volumes."""
    from monai_attn.evaluation import evaluate_files, score_table, write_summary

    scores = evaluate_files(prediction, reference)
    out.print(score_table(scores) if scores else "no case has a label above 0, on either side")
    if output:
        out.print(f"scores: {write_summary(scores, output)}")
