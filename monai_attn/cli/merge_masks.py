"""`monai-attn merge-masks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import progress_of, written
from monai_attn.cli.options import DebugOption, path_of


def merge_masks(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            parser=path_of,
            help="Data set with a mask for each structure, as TotalSegmentator's.",
        ),
    ],
    structures: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME", help="Structures, such as liver pancreas; they become 1, 2 and so on."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PATH", parser=path_of, help="New folder for the label maps."
        ),
    ],
    debug: DebugOption = False,
) -> None:
    """Merge masks of several structures into one label map for each case, to train on."""
    from monai_attn.datasets import merge_masks

    with progress_of("cases") as on_case:
        dataset = merge_masks(data, output, structures, on_case=on_case)
    written("data set", dataset)
