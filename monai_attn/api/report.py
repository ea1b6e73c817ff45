"""A report of a run, as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from monai_attn.io.names import REPORT
from monai_attn.reporting.page import check_replaceable, write_report
from monai_attn.reporting.references import find_references, own_scores
from monai_attn.runs.records import read_run


def report(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    reference: str | Path | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write one page to check a run by: its cases and numbers, and their slices to look through.

    Args:
        folder: the folder that scans were segmented into.
        output: the page, which ends in .html; `report.html` in the folder by default.
        reference: label maps to score and compare with: a folder, or a file for one case.
        classes: the label that each value in the references stands for, if their values differ; any other
            value is background.
        ignore: the value in the references of voxels that count nowhere, if there is one.
        on_case: called after each case with the number of cases done and of all cases.

    Returns:
        The path of the page.

    Raises:
        ValueError: if the folder holds no run, another file would be replaced, no case has a reference, or
            `classes` or `ignore` is given without a reference.
    """
    folder = Path(folder)
    check_replaceable(Path(output) if output else folder / REPORT)
    if reference is None and (classes or ignore is not None):
        raise ValueError(
            f"{folder}: classes and ignore values describe references, and none is given: name them"
        )
    run = read_run(folder)
    if reference is None:
        references = own_scores(run)
    else:
        references = find_references(run, Path(reference), classes, ignore)
    return write_report(folder, output, references=references, on_case=on_case)
