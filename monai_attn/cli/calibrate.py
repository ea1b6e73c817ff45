"""`monai-attn calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from monai_attn.cli.bundle_opening import note_code, without_collection
from monai_attn.cli.console import complain, err, note_layout, out, progress_of, written
from monai_attn.cli.options import (
    DebugOption,
    DeviceOption,
    IgnoreOption,
    LabelOption,
    MapOption,
    TrainedBundleArgument,
    labels_by_value,
    path_of,
)

if TYPE_CHECKING:
    from monai_attn.bundle.bundle import Bundle
    from monai_attn.training.calibration import Calibration


def calibrate(
    bundle: TrainedBundleArgument,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            parser=path_of,
            help="Labelled scans that were not used for training; by default the validation cases of the "
            "training.",
        ),
    ] = None,
    label: LabelOption = None,
    mapped: MapOption = None,
    ignore: IgnoreOption = None,
    interval: Annotated[
        bool,
        typer.Option(
            "--interval", help="Also fit the intervals of volumes; takes 7 or 8 times as long."
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only measure how well the bundle is calibrated; write nothing."
        ),
    ] = False,
    device: DeviceOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Fit a bundle's temperature on labelled scans, so that its probabilities match its errors."""
    classes = labels_by_value(mapped)
    with err.status(f"opening {bundle}"), without_collection():
        from monai_attn.training.calibration import calibrate as run

        note_code(bundle)
    note_layout(data)
    with progress_of("cases") as on_case:
        opened, calibration = run(
            bundle,
            data,
            labels=label or (),
            classes=classes,
            ignore=ignore,
            device=device,
            intervals=interval,
            check=check,
            on_case=on_case,
        )
    show(opened, calibration)
    if not check:
        written("bundle", opened.root)


def show(opened: Bundle, found: Calibration) -> None:
    """Print a calibration: a table, and a line for the interval of each label."""
    from monai_attn.metrics.calibration import at_edge
    from monai_attn.metrics.volume_intervals import LEAST_CASES, RATE

    temperature = found.confidence.temperature
    table = Table("", "temperature 1", f"temperature {temperature:g}")
    names = {
        "nll": "negative log-likelihood",
        "ece": "calibration error",
        "ece_doubtful": "calibration error where doubtful",
    }
    for name, (before, after) in found.before_and_after.items():
        table.add_row(names[name], f"{before:.5f}", f"{after:.5f}")
    out.print(table)
    cases = len(found.measured.cases)
    out.print(f"{cases} cases, {found.measured.voxels} voxels", highlight=False)
    if at_edge(temperature):
        complain(
            "check",
            f"{opened.root}: the temperature {temperature:g} is the end of its range, so the probabilities "
            "say nothing; look at the labels, and train longer",
        )
    if not found.measured.views_ml:
        return
    if found.measured.partly:
        out.print(
            f"{len(found.measured.partly)} of {cases} cases have ignored voxels, and so no true volume: "
            "intervals are fitted without them",
            highlight=False,
            soft_wrap=True,
        )
    flips = ", ".join(map(str, found.confidence.flip_axes)) or "none"
    out.print(f"mirror images along the window's axes: {flips}", highlight=False)
    for label, name in opened.label_names.items():
        held = found.count_covered(label)
        if held:
            factor = found.confidence.factors[label]
            said = (
                f"{factor:.2f} times the spread of the views on either side, which holds {held[0]} of "
                f"{held[1]} volumes"
            )
        else:
            said = (
                f"not fitted: a rate of {RATE:.0%} needs {LEAST_CASES} or more cases that have the label, "
                "and in which it is found"
            )
        out.print(f"intervals of {name}: {said}", highlight=False, soft_wrap=True)
