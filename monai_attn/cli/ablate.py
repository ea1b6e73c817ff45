"""`monai-attn ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.bundle_opening import note_code, without_collection
from monai_attn.cli.console import complain, err, out, progress_bars, with_flag, written
from monai_attn.cli.options import (
    BackendOption,
    BundleOption,
    DebugOption,
    DeviceOption,
    IgnoreOption,
    MapOption,
    ModeOption,
    ScansArgument,
    TablesOption,
    labels_by_value,
    path_of,
)

if TYPE_CHECKING:
    from monai_attn.analysis.ablation import Ablation, OpenedLabel
    from monai_attn.io.channels import Image


def ablate(
    inputs: ScansArgument,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            parser=path_of,
            metavar="LABELS",
            help="Reference of each scan: a folder of label maps, or a file for one scan.",
        ),
    ] = None,
    mapped: MapOption = None,
    ignore: IgnoreOption = None,
    bundle: BundleOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    mode: ModeOption = None,
    backend: BackendOption = "auto",
    output: TablesOption = None,
    debug: DebugOption = False,
) -> None:
    """Measure what each gate contributes: hold it open (attention 1), and compare the labels."""
    from monai_attn.bundle.channels import channel_names
    from monai_attn.datasets.cases import find_named
    from monai_attn.datasets.pairs import references_of
    from monai_attn.io.tables import check_table_path

    classes = labels_by_value(mapped)
    scans, names = find_named(inputs, channel_names(bundle))
    references = references_of(scans, reference, names) if reference else {}
    with err.status(f"opening {bundle}"), without_collection():
        from monai_attn.analysis.ablation import (
            COLUMNS,
            KEYS,
            ablation_table,
            open_ablation,
            write_ablation,
        )

        for path in output or []:
            check_table_path(path, KEYS, COLUMNS)
        note_code(bundle)
        ablation = open_ablation(bundle, device, mode=mode, backend=backend)
    rows, failed = _ablate(ablation, names, references, classes, ignore)
    if rows:
        out.print(ablation_table(rows, ablation.bundle.label_names))
        for path in output or []:
            written("ablation", write_ablation(rows, path, ablation.plain.settings))
    if failed:
        raise typer.Exit(1)


def _ablate(
    ablation: Ablation,
    names: dict[Image, str],
    references: dict[Image, Path],
    classes: dict[int, int] | None,
    ignore: int | None,
) -> tuple[list[OpenedLabel], int]:
    """Return the rows of all scans and the number that failed; a failure does not stop the others."""
    from monai_attn.io.channels import files_of
    from monai_attn.io.errors import case_error, collect_warnings, remedy_of

    rows: list[OpenedLabel] = []
    failed = 0
    with progress_bars() as progress:
        for scan in progress.track(names, description="cases"):
            try:
                with collect_warnings() as warnings:
                    rows += ablation(scan, references.get(scan), classes, ignore, name=names[scan])
            except Exception as error:  # a case, or a bundle's code, can raise anything
                failed += 1
                fault = case_error(files_of(scan)[0], error)
                complain("error", with_flag(fault, remedy_of(error)))
                continue
            for warning in dict.fromkeys(warnings):  # each segmenter may give the same warning
                complain("warning", warning)
    return rows, failed
