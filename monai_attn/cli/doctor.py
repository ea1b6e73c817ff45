"""`monai-attn doctor`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.bundle_opening import note_code, open_with_spinner, without_collection
from monai_attn.cli.console import err, note_layout, out, shown, with_flag
from monai_attn.cli.options import (
    BundleOption,
    DebugOption,
    DeviceOption,
    IgnoreOption,
    LabelOption,
    SeriesOption,
    VolumeOption,
    path_of,
)


def doctor(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="TARGET",
            parser=path_of,
            help="Scan, folder of scans, data set, datalist or bundle; by default the machine and "
            "the bundle.",
        ),
    ] = None,
    bundle: BundleOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    label: LabelOption = None,
    ignore: IgnoreOption = None,
    volume: VolumeOption = None,
    series: SeriesOption = None,
    debug: DebugOption = False,
) -> None:
    """Check the machine, a bundle or scans before a long run; nothing is written."""
    with err.status("importing torch"), without_collection():
        from monai_attn.analysis.doctor import check_bundle, check_data, machine_facts

    if target is None:
        facts = Table(show_header=False)
        for name, text in machine_facts().items():
            facts.add_row(name, escape(text))
        out.print(facts)
    if target is None or _is_bundle(target):
        named = str(target or bundle)
        note_code(named)
        findings = iter([check_bundle(named, device)])
    else:
        model = open_with_spinner(bundle, device, backend="eager", precision="float32")
        note_layout(target)
        findings = check_data(
            target,
            model.bundle,
            labels=label or (),
            ignore=ignore,
            volume=volume,
            series=series,
        )
    counts: Counter[str] = Counter()
    for found in findings:
        counts[found.verdict] += 1
        said = with_flag(found.refused, found.remedy) or f"{found.subject}: {found.facts}"
        for line in (f"{found.verdict}: {said}", *found.doubts):
            out.print(shown(line), markup=False, highlight=False, soft_wrap=True)
    out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if counts["refused"]:
        raise typer.Exit(1)


def _is_bundle(path: Path) -> bool:
    from monai_attn.bundle.find import is_shipped

    return (path / "configs").is_dir() or is_shipped(str(path))
