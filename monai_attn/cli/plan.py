"""`monai-attn plan`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.bundle_opening import without_collection
from monai_attn.cli.console import err, note_layout, out, progress_of_stages, written
from monai_attn.cli.options import (
    BundleOption,
    ChannelOption,
    DebugOption,
    IgnoreOption,
    LabelOption,
    OptionalDataArgument,
    path_of,
)
from monai_attn.io.tables import check_table_path

WORDS = ("least", "median", "most")

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monai_attn.planning.fingerprint import Fingerprint
    from monai_attn.planning.nnunet_plans import ImportedPlan
    from monai_attn.planning.rules import TrainingPlan


def plan(
    data: OptionalDataArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=path_of,
            metavar="PATH",
            help="Also write the values to this JSON file, for `train --plan`.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            parser=path_of,
            metavar="PATH",
            help="Take over a plan of nnU-Net, nnUNetPlans.json, instead of measuring DATA.",
        ),
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option(help="Configuration of --from; by default 3d_fullres, or 2d for a 2D bundle."),
    ] = None,
    for_nnunet: Annotated[
        bool,
        typer.Option(
            "--for-nnunet",
            help="With --from and --output: write a plan with which nnU-Net trains this network itself.",
        ),
    ] = False,
    label: LabelOption = None,
    ignore: IgnoreOption = None,
    channel: ChannelOption = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory that a training step may use, such as 8GiB; by default 0.8 of the free memory."
        ),
    ] = None,
    bundle: BundleOption = DEFAULT_BUNDLE,
    debug: DebugOption = False,
) -> None:
    """Choose the grid, window and network that suit labelled cases, and say why.

    With --from, a plan of nnU-Net gives the values, and no case is read.

    With --for-nnunet, the result is again a plan of nnU-Net.
    """
    if output and output.suffix.lower() != ".json":
        raise ValueError(f"{output}: ends in {output.suffix!r}; a .json file expected: rename it")
    measuring = {"DATA": data, "--label": label, "--ignore": ignore, "--memory": memory}
    unneeded = [name for name, value in measuring.items() if value]
    if for_nnunet:
        unneeded += ["--configuration"] if configuration else []
        _for_nnunet(source, output, unneeded)
        return
    if source:
        _import(source, configuration, bundle, output, unneeded)
        return
    if data is None:
        raise ValueError("plan: no data set. Give DATA, or --from with a plan of nnU-Net.")
    if configuration:
        raise ValueError(
            "--configuration: chooses from a plan of nnU-Net. Give --from, or leave it out."
        )
    with err.status("importing torch"), without_collection():
        from monai_attn.api.plan import plan as choose
        from monai_attn.inference.memory import format_memory, parse_memory
        from monai_attn.planning.rules import KEYS, write_plan
        from monai_attn.planning.training_memory import training_memory
    if output:
        check_table_path(output, KEYS)
    budget, on_gpu = (parse_memory(memory), False) if memory else training_memory()
    note_layout(data)
    with progress_of_stages() as on_case:
        chosen = choose(
            data,
            labels=label or (),
            ignore=ignore,
            channels=channel or (),
            memory=memory,
            bundle=bundle,
            on_case=on_case,
        )
    _show(chosen.fingerprint, chosen)
    whose = "allowed" if memory else f"free on {'the GPU' if on_gpu else 'this machine'}"
    step, cache, there = map(format_memory, (chosen.step_bytes, chosen.cache_bytes, budget))
    out.print(f"memory: {step} for a step, {there} {whose}", highlight=False)
    out.print(f"disk: {cache} for the cache of a training", highlight=False)
    if output:
        written("plan", write_plan(chosen, output))


def _for_nnunet(source: Path | None, output: Path | None, unneeded: Sequence[str]) -> None:
    """Write a plan of nnU-Net with this package's network in it."""
    if unneeded:
        raise ValueError(f"--for-nnunet: copies a plan as it is. Leave out {unneeded[0]}.")
    if source is None or output is None:
        raise ValueError(
            "--for-nnunet: copies a plan of nnU-Net. Give --from with it and --output, the new file."
        )
    with err.status("importing torch"), without_collection():
        from monai_attn.planning.nnunet_architecture import write_nnunet_plans
    written("plan", write_nnunet_plans(source, output))


def _show(found: Fingerprint, made: TrainingPlan) -> None:
    """Print the data, then the values and their reasons, in tables that fit 80 characters."""
    summary = found.as_json()
    cases = f"{found.cases} case{'s' if found.cases > 1 else ''}"
    data = Table(cases, *WORDS, box=SIMPLE_HEAD, pad_edge=False)
    rows = {"voxels": summary["size_voxels"], "spacing (mm)": summary["spacing_mm"]}
    for name, said in summary["classes"].items():
        missing = found.cases - said["cases"]
        rows[f"{name} (mm)"] = said["extent_mm"]
        known = "" if found.ignore is None else ", known part"
        absent = f", not in {missing}" if missing else ""
        rows[f"{name} (ml{known}{absent})"] = said["volume_ml"]
    for title, spread in rows.items():
        data.add_row(escape(title), *[_sizes(spread[word]) for word in WORDS])
    inside = [found.hu] if not found.channels else found.values
    names = [channel.name for channel in found.channels] or ["HU"]
    for name, values in zip(names, inside, strict=True):
        row = [
            f"{values[p]:.4g}" if found.channels else f"{values[p]:.0f}" for p in (0.5, 50.0, 99.5)
        ]
        data.add_row(escape(f"{name} inside (99 %)"), *row)
    out.print(data)
    _show_values(made)


def _import(
    source: Path,
    configuration: str | None,
    bundle: str,
    output: Path | None,
    measuring: Sequence[str],
) -> None:
    """Take over a plan of nnU-Net, and say what was left out."""
    if measuring:
        raise ValueError(
            f"--from: the plan in {source} needs no {measuring[0]}. Leave out {measuring[0]}, or --from."
        )
    with err.status("importing torch"), without_collection():
        from monai_attn.api.plan import import_plan
        from monai_attn.planning.rules import KEYS, write_plan
    if output:
        check_table_path(output, KEYS)
    imported = import_plan(source, configuration=configuration, bundle=bundle)
    _show_values(imported)
    for line in imported.left_out:
        out.print(f"not taken over: {line}", highlight=False, markup=False, soft_wrap=True)
    if output:
        written("plan", write_plan(imported, output))


def _show_values(made: TrainingPlan | ImportedPlan) -> None:
    """Print the values and their reasons."""
    values = Table(box=SIMPLE_HEAD, pad_edge=False)
    values.add_column("id", no_wrap=True)
    values.add_column("value")
    values.add_column("why")
    for name, value in made.overrides.items():
        values.add_row(name, escape(_text(value)), escape(made.reasons[name]))
    out.print(values)


def _sizes(values: float | list[float]) -> str:
    """Format one number, or one for each axis, with as many digits as matter."""
    several = values if isinstance(values, list) else [values]
    return " x ".join(f"{n:.0f}" if abs(n) >= 20 else f"{n:.3g}" for n in several)


def _text(value: object) -> str:
    """Format a value in a few characters; of a label map, list the values that are not background."""
    if isinstance(value, dict):
        kept = ", ".join(f"{label} to {to}" for label, to in value.items() if to)
        return (
            kept
            if all(to or label == "0" for label, to in value.items())
            else f"{kept}, others to 0"
        )
    return re.sub(r"\.0\b", "", json.dumps(value))
