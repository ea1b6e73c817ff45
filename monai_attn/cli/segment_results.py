"""The terminal's view of segmented cases: their messages, and the table of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from monai_attn.cli.console import complain, shown, with_flag

if TYPE_CHECKING:
    from monai_attn.inference.segmenter import Segmenter
    from monai_attn.runs.batch import CaseResult
LOOK = "look at the labels or the report before you use them"


def print_messages(result: CaseResult) -> None:
    """Print the warnings about a scan, and what to look at."""
    for warning in result.warnings:
        complain("warning", warning)
    for missing in result.missing:
        complain("error", missing)
    if result.fallback and not result.check:
        complain("warning", f"{result.scan}: full mode: {result.fallback}")
    if result.error:
        complain("error", with_flag(result.error, result.remedy))
    elif result.check:
        complain("check", f"{result.scan}: {result.check}; {LOOK}")
    elif not result.volumes_ml:
        complain("note", f"{result.scan}: nothing was found; look at the scan")


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


def table_of_volumes(results: Sequence[CaseResult], names: Mapping[int, str]) -> Table:
    """Return a table of the labels' volumes, with a column of the status if any is remarkable."""
    table = Table("case", *[f"{name} (ml)" for name in names.values()])
    if remarked := any(result.check or result.missing for result in results):
        table.add_column("status")
    table.add_column("labels", overflow="fold")  # a path that is cut short leads nowhere
    for result in results:
        if not result.error:
            volumes = [_volume(result, label) for label in names]
            status = [result.status] if remarked else []
            table.add_row(
                escape(shown(result.name)), *volumes, *status, escape(shown(result.target))
            )
    return table


def _volume(result: CaseResult, label: int) -> str:
    volume = f"{result.volumes_ml.get(label, 0.0):.1f}"
    if label not in result.intervals_ml:
        return volume
    low, high = result.intervals_ml[label]
    return f"{volume} ({low:.1f} to {high:.1f})"
