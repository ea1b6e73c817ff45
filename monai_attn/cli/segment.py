"""`monai-attn segment`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.bundle_opening import open_with_spinner
from monai_attn.cli.console import complain, out, progress_bars, shown
from monai_attn.cli.options import (
    BackendOption,
    BundleOption,
    DebugOption,
    DeviceOption,
    ModeOption,
    PrecisionOption,
    ScansArgument,
    SeriesOption,
    VolumeOption,
    path_of,
)
from monai_attn.cli.parallel_run import together
from monai_attn.cli.report import check_page, make_report

if TYPE_CHECKING:
    from monai_attn.bundle.open import Bundle
    from monai_attn.distributed.work_queue import WorkQueue
    from monai_attn.runs.batch import CaseResult


LOOK = "look at the labels or the report before you use them"


def segment(
    inputs: ScansArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            parser=path_of,
            metavar="PATH",
            help="A folder, or a .nii.gz path for one input.",
        ),
    ],
    bundle: BundleOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    mode: ModeOption = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    memory: Annotated[
        str | None,
        typer.Option(help="Memory the process may hold, such as 4GiB; by default what is free."),
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Also write the attention of each gate.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Also write where the labels are unsure: the entropy."),
    ] = False,
    interval: Annotated[
        bool,
        typer.Option(
            "--interval",
            help="Also give an interval around each volume; 5 to 8 times the network's time.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Also write report.html, to look through; --attention and --uncertainty add maps to it.",
        ),
    ] = False,
    volume: VolumeOption = None,
    series: SeriesOption = None,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Also write labels as DICOM SEG, of DICOM series.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a scan about which anything is doubtful.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep label maps that are complete and up to date.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and write nothing.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Segment CT scans: a label map on each scan's own grid, and volumes in ml."""
    from monai_attn.datasets.cases import find_images
    from monai_attn.io.files import make_writable
    from monai_attn.runs.output_paths import output_paths

    with together() as queue:
        scans = [Path(scan) for source in inputs for scan in find_images(source)]
        targets = output_paths(scans, output)
        if dicom_seg:
            from monai_attn.io.dicom.segmentation import check_installed

            check_installed()
        opened = open_with_spinner(
            bundle,
            device,
            memory,
            mode=mode,
            backend=backend,
            precision=precision,
            attention=attention,
            uncertainty=uncertainty,
            interval=interval,
            volume=volume,
            series=series,
        )
        if dry_run:
            if queue.first:
                _print_estimates(opened, scans, strict)
            return

        folder = output if targets and output not in targets.values() else None
        for parent in {target.parent for target in targets.values()}:
            make_writable(parent)
            if report:
                check_page(parent)
        # before the first label map is written, every rank has listed the scans
        listed = sha256("\n".join(map(ascii, scans)).encode()).hexdigest()[:12]
        queue.agree({"scans": len(scans), "scans_sha256": listed, **opened.settings})
        seg = opened.label_names if dicom_seg else None
        options = {"resume": resume, "strict": strict, "dicom_seg": seg}
        failed = _segment(opened, targets, folder, queue, **options)
        if (
            report and targets and queue.first and (folder or not failed)
        ):  # a single scan that failed leaves nothing to report
            make_report(folder or next(iter(targets.values())).parent)
        out.print(f"bundle: {opened.root}", highlight=False, soft_wrap=True)
        out.print(opened.notice, style="yellow")
        if failed:
            raise typer.Exit(1)


def _segment(
    opened: Bundle, targets: dict[Path, Path], folder: Path | None, queue: WorkQueue, **options: Any
) -> int:
    """Segment the scans, print a table, write a folder's summary, and return how many scans failed."""
    from monai_attn.runs.batch import CaseResult, segment_files
    from monai_attn.runs.summary import CSV, Summary

    names = opened.label_names
    results: dict[Path, CaseResult] = {}
    summary = None
    if folder and queue.first:
        resume = options["resume"]
        summary = Summary(folder, targets, names, opened.settings, resume=resume)
    with (
        summary or nullcontext(),
        progress_bars() as progress,
    ):
        cases = progress.add_task("cases", total=len(targets))
        windows = progress.add_task("windows", total=None)

        def on_window(done: int, total: int | None) -> None:
            progress.update(windows, completed=done, total=total)

        made = segment_files(
            opened.segmenter, targets, on_window, opened.settings, take=queue.take, **options
        )
        for text in queue.gather((result.packed() for result in made), len(targets)):
            result = CaseResult.unpacked(text)
            progress.advance(cases)
            results[result.scan] = result
            if summary:
                summary.add(result)
            for warning in result.warnings:
                complain("warning", warning)
            if result.fallback and not result.check:
                complain("warning", f"{result.scan}: full mode: {result.fallback}")
            if result.error:
                complain("error", result.error)
            elif result.check:
                complain("check", f"{result.scan}: {result.check}; {LOOK}")
            elif not result.volumes_ml:
                complain("note", f"{result.scan}: nothing was found; look at the scan")
    ordered = [results[scan] for scan in targets if scan in results]
    counts = Counter(result.status for result in ordered)
    if len(ordered) > counts["failed"]:
        out.print(_table(ordered, names))
        if opened.segmenter.views:
            out.print(_basis(opened), soft_wrap=True)
    if folder:
        said = ", ".join(
            f"{count} {'to check' if status == 'check' else status}"
            for status, count in counts.items()
        )
        out.print(f"summary: {folder / CSV}: {said}", highlight=False, soft_wrap=True)
    return counts["failed"]


def _basis(opened: Bundle) -> str:
    """Return a line that says what the intervals of the volumes are based on."""
    from monai_attn.metrics.volume_intervals import RATE

    views, factors = 1 + len(opened.segmenter.views), opened.segmenter.confidence.factors
    said = f"intervals: {views} views of each scan"
    if names := [name for label, name in opened.label_names.items() if label in factors]:
        said += (
            f", widened to hold {RATE:.0%} of the volumes that were found in scans like those of the "
            "calibration"
        )
        said += f" ({', '.join(names)})" if len(names) < len(opened.label_names) else ""
    if len(names) < len(opened.label_names):
        said += "; the others are" if names else "; they are"
        said += " the range of the views, which holds the truth at no known rate: run calibrate"
    return said


def _table(results: Sequence[CaseResult], names: Mapping[int, str]) -> Table:
    table = Table("case", *[f"{name} (ml)" for name in names.values()])
    if to_check := any(result.check for result in results):
        table.add_column("status")
    table.add_column("labels", overflow="fold")  # a path that is cut short leads nowhere
    for result in results:
        if not result.error:
            volumes = [_volume(result, label) for label in names]
            status = [result.status] if to_check else []
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


def _print_estimates(opened: Bundle, scans: list[Path], strict: bool) -> None:
    """Print a table for each scan of the windows, memory and time that its segmentation would take."""
    from monai_attn.inference.window_plan import format_memory
    from monai_attn.io.errors import case_error, collect_warnings

    used = opened.settings
    failed = 0
    for scan in scans:
        try:
            with collect_warnings(strict) as doubts:
                estimate = opened.segmenter.estimate(scan)
        except Exception as error:  # as in a run: the others are shown
            failed += 1
            complain("error", case_error(scan, error))
            continue
        for doubt in doubts:
            complain("warning", doubt)
        plan = estimate.plan
        skipped = ", ".join(f"{count} {why}" for why, count in plan.skipped.items())
        out.print(shown(scan), markup=False, highlight=False, soft_wrap=True)
        table = Table(show_header=False)
        table.add_row("network's grid", " x ".join(str(n) for n in plan.grid))
        table.add_row("mode", f"{plan.mode} ({plan.fallback})" if plan.fallback else plan.mode)
        table.add_row("windows", f"{len(plan.windows)} of {plan.total}, {plan.batch} at once")
        table.add_row("skipped", skipped or "none")
        if opened.segmenter.views:
            table.add_row("views", str(1 + len(opened.segmenter.views)))
        table.add_row("slabs", str(plan.slabs))
        table.add_row("memory", format_memory(estimate.memory))
        if opened.segmenter.device.type == "cuda":
            table.add_row("memory of the GPU", format_memory(plan.device_bytes))
        table.add_row("backend", f"{used['backend']}, {used['precision']}, {used['device']}")
        table.add_row("time of the windows", f"{estimate.seconds:.1f} s, from one that was timed")
        out.print(table)
    if failed:
        raise typer.Exit(1)
