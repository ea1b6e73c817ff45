"""`monai-attn segment`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.console import out, progress_bars, written
from monai_attn.cli.engines import check_engine, open_engine
from monai_attn.cli.estimates import print_estimates
from monai_attn.cli.options import (
    BackendOption,
    BundlesOption,
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
from monai_attn.cli.report import make_report
from monai_attn.cli.segment_results import (
    basis_of_intervals,
    counts_of,
    print_fallbacks,
    print_messages,
    table_of_volumes,
)

if TYPE_CHECKING:
    from monai_attn.cli.engines import Engine
    from monai_attn.distributed.work_queue import WorkQueue
    from monai_attn.inference.segmenter import Segmenter
    from monai_attn.io.channels import Image
    from monai_attn.runs.batch import CaseResult
    from monai_attn.runs.extra_files import ExtraFile


def segment(
    inputs: ScansArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            parser=path_of,
            metavar="PATH",
            help="Folder for the results, or for one scan the path of its label map (.nii.gz).",
        ),
    ],
    bundle: BundlesOption = None,
    device: DeviceOption = "auto",
    mode: ModeOption = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory that the process may use, such as 4GiB; by default the free memory."
        ),
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Also write the attention map of each gate.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty", help="Also write a map of the uncertainty: the entropy in each voxel."
        ),
    ] = False,
    interval: Annotated[
        bool,
        typer.Option(
            "--interval",
            help="Also compute an interval for each volume; takes 5 to 8 times as long.",
        ),
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write the probability of each class or region in each voxel.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Also write report.html, a page to check the results by. It shows the maps of "
            "--attention and --uncertainty.",
        ),
    ] = False,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            help="Also write a picture of each case: three planes with its labels, and with the map of "
            "--attention.",
        ),
    ] = False,
    scene: Annotated[
        bool,
        typer.Option(
            "--scene",
            help="Also write files that open each case in 3D Slicer (NAME.mrml) and ITK-SNAP "
            "(NAME.itksnap), with the map of --attention.",
        ),
    ] = False,
    statistics: Annotated[
        bool,
        typer.Option(
            "--statistics",
            help="Also write the statistics of each label: volume, intensity, components, extent and the "
            "faces of the scan that it touches.",
        ),
    ] = False,
    volume: VolumeOption = None,
    series: SeriesOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="PATTERN",
            help="Names of DICOM cases, such as {patient}_{description}; also {pseudonym}, {date} and "
            "{number}; by default from their paths.",
        ),
    ] = None,
    dicom_seg: Annotated[
        bool,
        typer.Option("--dicom-seg", help="Also write DICOM SEG files; for DICOM series only."),
    ] = False,
    rtstruct: Annotated[
        bool,
        typer.Option(
            "--rtstruct",
            help="Also write DICOM RTSTRUCT files, with contours; for DICOM series only.",
        ),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep label maps that are complete and up to date.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show windows, memory and time; write nothing."),
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="Engine that segments: dask for the workers of a Dask cluster; by default this process.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Address of the Dask scheduler, or path of its scheduler file.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", help="Number of Dask workers to start on this machine."
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Segment CT scans: a label map on each scan's own grid, and the volumes in ml."""
    from monai_attn.bundle.channels import channel_names
    from monai_attn.bundle.find import find_bundle, is_shipped
    from monai_attn.datasets.trees import ALL
    from monai_attn.io.names import REPORT
    from monai_attn.runs.output_paths import find_targets, summary_folder

    bundles = bundle or [DEFAULT_BUNDLE]
    with together() as queue:
        check_engine(engine, scheduler, workers, ranks=queue.ranks.size, dry_run=dry_run)
        _refuse_bundles(inputs)
        targets = find_targets(
            inputs, output, channel_names(bundles[0]), series=series, pattern=name
        )
        if dicom_seg:
            from monai_attn.io.dicom.segmentation import check_installed

            check_installed()
        folder = summary_folder(targets, output)
        page = (folder or output.parent) / REPORT
        if report and not dry_run:
            from monai_attn.reporting.page import check_replaceable

            check_replaceable(page)
        options = {
            "device": device,
            "memory": memory,
            "mode": mode,
            "backend": backend,
            "precision": precision,
        }
        outputs = {
            "attention": attention,
            "uncertainty": uncertainty,
            "interval": interval,
            "probabilities": probabilities,
            "volume": volume,
            "series": None if series == ALL else series,
        }
        with open_engine(engine, scheduler, workers, bundles, options, outputs) as opened:
            if dry_run:
                if queue.first and print_estimates(opened.segmenter, list(targets), strict):
                    raise typer.Exit(1)
                return
            from monai_attn.api.extra_files import extra_files

            failed = _segment(
                opened,
                targets,
                folder,
                queue,
                resume=resume,
                strict=strict,
                dicom_seg=dicom_seg,
                page=page if report else None,
                extras=extra_files(
                    preview=preview, scene=scene, statistics=statistics, rtstruct=rtstruct
                ),
            )
        if (
            report and targets and queue.first and (folder or not failed)
        ):  # a single scan that failed leaves nothing to report
            make_report(page.parent)
        for root in opened.roots:
            shipped = is_shipped(root.name) and find_bundle(root.name) == root
            written("bundle", root.name if shipped else root)
        out.print(opened.notice, style="yellow")
        if failed:
            raise typer.Exit(1)


def _refuse_bundles(inputs: Sequence[Path]) -> None:
    """Refuse a bundle among the scans: it was meant for the option, which takes one bundle at a time."""
    for path in inputs:
        if (path / "configs" / "inference.json").is_file() or (path / "folds.json").is_file():
            raise ValueError(
                f"{path}: a bundle (expected scans). Name each bundle of an ensemble with a --bundle of "
                "its own."
            )


def _segment(
    opened: Engine,
    targets: dict[Image, Path],
    folder: Path | None,
    queue: WorkQueue,
    *,
    resume: bool,
    strict: bool,
    dicom_seg: bool,
    page: Path | None,
    extras: Sequence[ExtraFile],
) -> int:
    """Segment the scans, print their table, and return how many failed or lack a file."""
    from monai_attn.runs.batch import segment_files
    from monai_attn.runs.run import segment_targets
    from monai_attn.runs.summary import CSV

    segmenter = opened.segmenter
    results: dict[Path, CaseResult] = {}  # by the label map
    with progress_bars() as progress:
        cases = progress.add_task("cases", total=len(targets))
        windows = progress.add_task("windows", total=None)

        def on_window(done: int, total: int | None) -> None:
            progress.update(windows, completed=done, total=total)

        for result in segment_targets(
            segmenter,
            targets,
            folder,
            resume=resume,
            strict=strict,
            dicom_seg=dicom_seg,
            extras=extras,
            queue=queue,
            on_window=on_window,
            segment=opened.segment or segment_files,
        ):
            progress.advance(cases)
            results[result.target] = result
            print_messages(result, page, extras)
    ordered = [results[target] for target in targets.values() if target in results]
    print_fallbacks(ordered)
    names = _label_names(segmenter)
    if any(not result.error for result in ordered):
        out.print(table_of_volumes(ordered, names, folder))
        if segmenter.views:
            out.print(basis_of_intervals(segmenter, names), soft_wrap=True)
    if folder:
        written("summary", f"{folder / CSV}: {counts_of(ordered)}")
    return sum(bool(result.error or result.missing) for result in ordered)


def _label_names(segmenter: Segmenter) -> dict[int, str]:
    from monai_attn.runs.json_values import label_names

    return label_names(segmenter.settings)
