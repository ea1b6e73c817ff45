"""`monai-attn phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import out, progress_bars
from monai_attn.cli.options import DebugOption, path_of


def phantom(
    output: Annotated[
        Path, typer.Argument(parser=path_of, help="Folder to write the data set to.")
    ],
    count: Annotated[int, typer.Option("--count", "-n", help="Number of cases.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the first case; the next ones count up.")] = 0,
    all_organs: Annotated[
        bool, typer.Option(help="Label every organ, not the pancreas alone.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Write synthetic abdominal CT scans with labels, as a Decathlon data set."""
    from monai_attn.phantom.scanner import write_phantoms

    with progress_bars() as progress:
        task = progress.add_task("phantoms", total=count)
        dataset = write_phantoms(
            output,
            count,
            seed=seed,
            all_organs=all_organs,
            on_case=lambda done, total: progress.update(task, completed=done, total=total),
        )
    out.print(f"data set: {dataset}")
