"""The table of a dry run: the windows, memory and time that each scan would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from monai_attn.cli.console import complain, out, shown, with_flag

if TYPE_CHECKING:
    from monai_attn.inference.segmenter import Segmenter
    from monai_attn.io.channels import Image


def print_estimates(segmenter: Segmenter, scans: list[Image], strict: bool) -> int:
    """Print a table for each scan of the windows, memory and time; return how many scans failed."""
    from monai_attn.io.channels import files_of
    from monai_attn.io.errors import case_error, collect_warnings, remedy_of

    failed = 0
    for image in scans:
        scan = files_of(image)[0]
        try:
            with collect_warnings(strict) as warnings:
                table = _estimate_table(segmenter, image)
        except Exception as error:  # as in a run: the others are shown
            failed += 1
            complain("error", with_flag(case_error(scan, error), remedy_of(error)))
            continue
        for warning in warnings:
            complain("warning", warning)
        out.print(shown(scan), markup=False, highlight=False, soft_wrap=True)
        out.print(table)
    return failed


def _estimate_table(segmenter: Segmenter, scan: Image) -> Table:
    from monai_attn.inference.memory import format_memory

    estimate, settings = segmenter.estimate(scan), segmenter.settings
    plan = estimate.plan
    skipped = ", ".join(f"{count} {why}" for why, count in plan.skipped.items())
    table = Table(show_header=False)
    if segmenter.members > 1:
        table.add_row("networks", f"{segmenter.members} on each window")
    if len(segmenter.input_channels) > 1:
        table.add_row("channels", ", ".join(map(str, segmenter.input_channels)))
    table.add_row("network's grid", " x ".join(str(n) for n in plan.grid))
    table.add_row("mode", f"{plan.mode} ({plan.fallback})" if plan.fallback else plan.mode)
    table.add_row("windows", f"{len(plan.windows)} of {plan.total}, {plan.batch} at once")
    table.add_row("skipped", skipped or "none")
    if segmenter.views:
        table.add_row("views", str(1 + len(segmenter.views)))
    table.add_row("slabs", str(plan.slabs))
    table.add_row("memory", format_memory(estimate.memory))
    if segmenter.device.type == "cuda":
        table.add_row("memory of the GPU", format_memory(estimate.device_memory))
    table.add_row("backend", ", ".join(settings[key] for key in ("backend", "precision", "device")))
    table.add_row(
        "time of the windows", f"{estimate.seconds:.1f} s, estimated from one that was timed"
    )
    return table
