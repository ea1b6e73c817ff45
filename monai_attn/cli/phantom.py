"""`monai-attn phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import progress_of, written
from monai_attn.cli.options import DebugOption, path_of


def phantom(
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", parser=path_of, help="Folder to write the data set to."),
    ],
    count: Annotated[int, typer.Option("--count", "-n", help="Number of cases.")] = 8,
    seed: Annotated[
        int, typer.Option(help="Random seed of the first case; each further case adds 1.")
    ] = 0,
    all_organs: Annotated[
        bool, typer.Option("--all-organs", help="Label every organ, not only the pancreas.")
    ] = False,
    modality: Annotated[
        str,
        typer.Option(
            "--modality", help="Modality: CT, or MR for the two sequences T1 and T2 in one file."
        ),
    ] = "CT",
    debug: DebugOption = False,
) -> None:
    """Write synthetic abdominal scans with labels, in the layout of the Medical Segmentation Decathlon."""
    from monai_attn.phantom import write_phantoms

    with progress_of("phantoms") as on_case:
        dataset = write_phantoms(
            output,
            count,
            seed=seed,
            all_organs=all_organs,
            modality=modality.upper(),
            on_case=on_case,
        )
    written("data set", dataset)
