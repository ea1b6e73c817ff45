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
    full_resolution: bool = True,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write a page to check a run: its cases, their numbers, and their slices to look through.

    Args:
        folder: the folder with the results of `Model.segment_folder` or `monai-attn segment`.
        output: path of the page, which ends in .html; by default `report.html` in the folder.
        reference: label maps to score and compare with: a folder, or a file for one case.
        classes: the label that each value in the references stands for, if they are numbered differently,
            such as `{7: 1}`; all other values become background.
        ignore: value in the references that marks unlabelled voxels, which are left out, if there is one.
        full_resolution: write each case that is too large for the page at full resolution next to it, into
            `report_files`; the page loads it on demand.
        on_case: called after each case with the number of cases done and the number of all cases.

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
            f"{folder}: classes and ignore describe a reference, but none is given. Give reference too."
        )
    run = read_run(folder)
    if reference is None:
        references = own_scores(run)
    else:
        references = find_references(run, Path(reference), classes, ignore)
    return write_report(
        folder,
        output,
        references=references,
        full_resolution=full_resolution,
        on_case=on_case,
    )
