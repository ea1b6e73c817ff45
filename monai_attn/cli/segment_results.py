"""The terminal's view of segmented cases: their messages, what to do next, and the table of volumes."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from monai_attn.cli.console import complain, shown, with_flag

if TYPE_CHECKING:
    from monai_attn.inference.segmenter import Segmenter
    from monai_attn.runs.batch import CaseResult
    from monai_attn.runs.extra_files import ExtraFile

ORDER = ("segmented", "kept", "check", "incomplete", "failed")


def print_messages(
    result: CaseResult, page: Path | None = None, extras: Sequence[ExtraFile] = ()
) -> None:
    """Print the warnings about a scan, why its result is to be checked, and what to look at.

    Args:
        result: the result of the scan.
        page: the report that the run will write, if any.
        extras: the kinds of extra files that the run made.
    """
    for warning in result.warnings:
        complain("warning", warning)
    for missing in result.missing:
        complain("error", missing)
    if result.error:
        complain("error", with_flag(result.error, result.remedy))
    elif reason := result.check or ("" if result.volumes_ml else "nothing was found"):
        kind = "check" if result.check else "note"
        complain(kind, f"{result.scan}: {reason}; {next_step(result.target, page, extras)}")


def next_step(target: Path, page: Path | None, extras: Sequence[ExtraFile]) -> str:
    """Return what to look at to judge a result: the report, a picture of the case, or how to get one."""
    if page:
        return f"look at {page}"
    for extra in extras:
        if extra.to_look_at and (path := extra.path(target)).is_file():
            return f"look at {path}"
    return f"to look at it, run: monai-attn report {shlex.quote(str(target.parent))}"


def print_fallbacks(results: Collection[CaseResult]) -> None:
    """Print one line about the scans that ran in full mode because the locator was not sure."""
    # failed checks are reason enough to look
    full = [result for result in results if result.fallback and not result.check]
    reasons = Counter(result.fallback for result in full)
    if not full:
        return
    scans = f"{len(full)} of {len(results)} scans" if len(full) > 1 else str(full[0].scan)
    first, count = reasons.most_common(1)[0]
    more = (
        f" ({count} scans; the column reason of the summary names all)" if len(reasons) > 1 else ""
    )
    complain("warning", f"{scans}: full mode: {first}{more}")


def counts_of(results: Collection[CaseResult]) -> str:
    """Return how many results have each status, the failed ones last."""
    counts = Counter(result.status for result in results)
    return ", ".join(
        f"{counts[status]} {'to check' if status == 'check' else status}"
        for status in ORDER
        if counts[status]
    )


def basis_of_intervals(segmenter: Segmenter, names: Mapping[int, str]) -> str:
    """Return a line that says what the intervals of the volumes are based on."""
    from monai_attn.metrics.volume_intervals import RATE

    factors = segmenter.confidence.factors
    calibrated = [name for label, name in names.items() if label in factors]
    line = f"intervals: {1 + len(segmenter.views)} views of each scan"
    if calibrated:
        line += f", widened to hold {RATE:.0%} of the volumes found in scans like those of the calibration"
        line += f" ({', '.join(calibrated)})" if len(calibrated) < len(names) else ""
    if len(calibrated) < len(names):
        line += "; the others are" if calibrated else "; they are"
        line += " the range of the views, which holds the true volume at an unknown rate"
        line += ": run calibrate" if segmenter.members == 1 else ""
    return line


def table_of_volumes(
    results: Sequence[CaseResult], names: Mapping[int, str], folder: Path | None = None
) -> Table:
    """Return a table of the labels' volumes, with a column of the status if any is remarkable.

    Args:
        results: the results.
        names: the name of each label.
        folder: folder of all label maps, whose paths are shown without it.
    """
    table = Table("case", *[f"{name} (ml)" for name in names.values()])
    if remarked := any(result.check or result.missing for result in results):
        table.add_column("status")
    # a path that is cut short leads nowhere
    table.add_column(f"labels in {escape(shown(folder))}" if folder else "labels", overflow="fold")
    for result in results:
        if not result.error:
            volumes = [_volume(result, label) for label in names]
            status = [result.status] if remarked else []
            labels = result.target.name if folder else result.target
            table.add_row(escape(shown(result.name)), *volumes, *status, escape(shown(labels)))
    return table


def _volume(result: CaseResult, label: int) -> str:
    volume = f"{result.volumes_ml.get(label, 0.0):.1f}"
    if label not in result.intervals_ml:
        return volume
    low, high = result.intervals_ml[label]
    return f"{volume} ({low:.1f} to {high:.1f})"
