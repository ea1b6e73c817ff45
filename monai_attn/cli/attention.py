"""`monai-attn attention`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn.cli.console import out, progress_of, written
from monai_attn.cli.options import DebugOption, TablesOption, path_of


def attention(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            parser=path_of,
            help="Folder that `segment --attention` wrote to, or one label map in it.",
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            parser=path_of,
            metavar="PATH",
            help="Label maps on the same grids to compare with, such as organs; by default those of the run.",
        ),
    ] = None,
    named: Annotated[
        list[str] | None,
        typer.Option(
            "--name", metavar="VALUE=NAME", help="Label and its name in the table (repeatable)."
        ),
    ] = None,
    output: TablesOption = None,
    debug: DebugOption = False,
) -> None:
    """Show where each gate looked: the numbers of its map, and the share of its attention in each label."""
    from monai_attn.analysis.attention_table import (
        COLUMNS,
        KEYS,
        attention_of_run,
        attention_table,
        write_attention,
    )
    from monai_attn.io.tables import check_table_path

    for path in output or []:
        check_table_path(path, KEYS, COLUMNS)
    given = dict(_named(text) for text in named or [])
    names = given if labels else _own_names(run) | given
    with progress_of("cases") as on_case:
        gates = attention_of_run(run, labels, on_case=on_case)
    for table in attention_table(gates, names):
        out.print(table)
    for path in output or []:
        written("attention", write_attention(gates, path, names))


def _own_names(run: Path) -> dict[int, str]:
    """Return the names that a run gives its labels; empty if its records cannot be read."""
    from monai_attn.runs.records import read_run

    try:
        records = read_run(run if run.is_dir() else run.parent).records
    except ValueError:  # the numbers are complete without names
        return {}
    return {
        label: name for record in records for label, name in record.manifest.label_names.items()
    }


def _named(text: str) -> tuple[int, str]:
    value, _, name = text.partition("=")
    if not (value.isdecimal() and name):
        raise ValueError(f"--name {text}: a whole number and a name expected, such as 7=spine")
    return int(value), name
