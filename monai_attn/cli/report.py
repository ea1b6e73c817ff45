"""`monai-attn report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_attn.cli.console import complain, out, progress_bars
from monai_attn.cli.options import (
    DebugOption,
    IgnoreOption,
    MapOption,
    labels_by_value,
    path_of,
)

if TYPE_CHECKING:
    from monai_attn.metrics.scores import CaseScore
    from monai_attn.reporting.page import References


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", parser=path_of, help="What segment wrote to.")
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
            help="The page, .html; OUT/report.html by default.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Write one page to check a run by: its cases and numbers, and their slices to look through."""
    make_report(folder, output, reference, labels_by_value(mapped), ignore)


def make_report(
    folder: Path,
    output: Path | None = None,
    reference: Path | None = None,
    classes: dict[int, int] | None = None,
    ignore: int | None = None,
) -> None:
    """Write the report of a folder, with a progress bar, and print its path."""
    from monai_attn.reporting.page import write_report

    check_page(folder, output)
    references = _references(folder, reference, classes, ignore)
    for fault in (references.faults or {}).values():
        complain("warning", fault)
    with progress_bars() as progress:
        task = progress.add_task("report", total=None)
        page = write_report(
            folder,
            output,
            references=references,
            on_case=lambda done, total: progress.update(task, completed=done, total=total),
        )
    out.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)


def check_page(folder: Path, output: Path | None = None) -> None:
    """Check before the work that a report can be written and would not replace another file."""
    from monai_attn.io.names import REPORT
    from monai_attn.reporting.page import check_replaceable

    check_replaceable(output or folder / REPORT)


def _references(
    folder: Path, reference: Path | None, classes: dict[int, int] | None, ignore: int | None
) -> References:
    """Return the references of the cases: label maps, which are scored now, or the folder's scores."""
    from monai_attn.datasets.pairs import references_among
    from monai_attn.io.errors import collect_warnings
    from monai_attn.metrics.evaluation import evaluate_pairs
    from monai_attn.reporting.page import References
    from monai_attn.runs.records import read_run

    if reference is None:
        if classes:
            raise ValueError("--map: is of references; give them with --reference")
        if ignore is not None:
            raise ValueError("--ignore: is of references; give them with --reference")
        return References(_own_scores(folder / "scores.json"))
    records = [record for record in read_run(folder).records if record.made]
    found = references_among([record.name for record in records], reference)
    if records and not found:
        raise ValueError(f"{reference}: no reference for any of the cases; name them as the scans")
    files, faults = {}, {}
    for record in records:
        file = record.labels.name
        if record.name in found:
            files[file] = found[record.name]
        else:
            faults[file] = f"{reference}: no reference for {record.name}; name it as the scan"
    scores = []
    for record in records:
        file = record.labels.name
        if file not in files:
            continue
        known = record.label_names or None
        pair = (record.name, record.labels, files[file])
        try:
            # another organ under a label's number would be drawn and scored as that label
            with collect_warnings() as doubts:
                scores += evaluate_pairs(
                    [pair], labels=known, classes=classes, ignore=ignore, complete=True
                )
            for doubt in doubts:
                complain("warning", doubt)
        except ValueError as error:  # the other cases keep their references
            faults[file] = f"{error} (the reference is not shown)"
            del files[file]
    return References(tuple(scores), files, classes, faults, ignore)


def _own_scores(path: Path) -> tuple[CaseScore, ...]:
    """Read the scores of the folder, if it has any that can be read."""
    from monai_attn.metrics.scores import read_scores

    try:
        return tuple(read_scores(path)) if path.exists() else ()
    except ValueError as error:  # the report is complete without them
        complain("warning", error)
        return ()
