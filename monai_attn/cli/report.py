"""`monai-attn report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import progress_of, written
from monai_attn.cli.options import (
    DebugOption,
    IgnoreOption,
    MapOption,
    labels_by_value,
    path_of,
)


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", parser=path_of, help="Folder that `monai-attn segment` wrote to."
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            parser=path_of,
            metavar="PATH",
            help="Label maps to score and compare with: a folder, or a file for one case.",
        ),
    ] = None,
    mapped: MapOption = None,
    ignore: IgnoreOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=path_of,
            metavar="FILE",
            help="Path of the page, which ends in .html; by default OUT/report.html.",
        ),
    ] = None,
    no_full_resolution: Annotated[
        bool,
        typer.Option(
            "--no-full-resolution",
            help="Show cases that are too large for the page only on a coarser grid, without files at full "
            "resolution next to it.",
        ),
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Write a page to check a run: its cases, their numbers, and their slices to look through."""
    if reference is None and (mapped or ignore is not None):
        option = "--map" if mapped else "--ignore"
        raise ValueError(
            f"{option}: describes references, but none are given. Name them with --reference."
        )
    make_report(
        folder,
        output,
        reference=reference,
        classes=labels_by_value(mapped),
        ignore=ignore,
        full_resolution=not no_full_resolution,
    )


def make_report(
    folder: Path,
    output: Path | None = None,
    *,
    reference: Path | None = None,
    classes: dict[int, int] | None = None,
    ignore: int | None = None,
    full_resolution: bool = True,
) -> None:
    """Write the report of a folder, with a progress bar; print a reader's verdicts, if any, and its path."""
    from monai_attn import report as write_report
    from monai_attn.runs.reading import reading_line

    with progress_of("report") as on_case:
        page = write_report(
            folder,
            output,
            reference=reference,
            classes=classes,
            ignore=ignore,
            full_resolution=full_resolution,
            on_case=on_case,
        )
    line = reading_line(folder)
    if line:
        written("reading", line)
    written("report", page)
