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
from monai_attn.cli.console import complain, err, out, progress_bars
from monai_attn.cli.options import BundleOption, DebugOption, IgnoreOption, LabelOption, path_of

WORDS = ("least", "median", "most")

if TYPE_CHECKING:
    from monai_attn.planning.fingerprint import Fingerprint
    from monai_attn.planning.rules import Base, TrainingPlan


def plan(
    data: Annotated[
        Path,
        typer.Argument(parser=path_of, help="The labelled scans: a folder, or a datalist."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=path_of,
            metavar="PATH",
            help="Also write the values to this JSON file, an overlay for the bundle's configs.",
        ),
    ] = None,
    label: LabelOption = None,
    ignore: IgnoreOption = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory for a training step, such as 8GiB; by default what is free here."
        ),
    ] = None,
    bundle: BundleOption = DEFAULT_BUNDLE,
    debug: DebugOption = False,
) -> None:
    """Look at labelled cases and say which grid, window and network suit them, and why."""
    if output and output.suffix.lower() != ".json":
        raise ValueError(f"{output}: ends in {output.suffix!r}; a .json file expected: rename it")
    with err.status("looking"), without_collection():
        from monai_attn.bundle.open import find_bundle
        from monai_attn.inference.window_plan import format_memory, parse_memory
        from monai_attn.planning.rules import base_of, make_plan, write_plan
        from monai_attn.planning.training_memory import training_memory

        base = base_of(find_bundle(bundle))
        given = parse_memory(memory) if memory else None
        budget, on_gpu = training_memory() if given is None else (given, False)
    found = _measured(data, label or [], ignore, base)
    made = make_plan(found, budget, base, on_cpu=given is None and not on_gpu)
    _show(found, made)
    whose = "allowed" if given else f"free on {'the GPU' if on_gpu else 'this machine'}"
    step, cache, there = map(format_memory, (made.step_bytes, made.cache_bytes, budget))
    out.print(f"memory: {step} for a step, {there} {whose}", highlight=False)
    out.print(f"disk: {cache} for the cache of a training", highlight=False)
    if output:
        written = write_plan(made, output)
        out.print(f"plan: {written}", markup=False, highlight=False, soft_wrap=True)


def _measured(data: Path, chosen: list[str], ignore: int | None, base: Base) -> Fingerprint:
    """Measure the cases, after the checks that a training with them begins with."""
    from monai_attn.datasets.cases import find_cases
    from monai_attn.datasets.checked_cases import check_cases
    from monai_attn.datasets.ignore import check_ignore, find_ignore
    from monai_attn.datasets.label_classes import choose_classes, declared_labels
    from monai_attn.planning.case_reader import read_cases
    from monai_attn.planning.fingerprint import fingerprint

    cases, declared, classes = find_cases(data), declared_labels(data), base.classes
    ignore = find_ignore(ignore, data)
    if not chosen:
        check_ignore(ignore, classes.label_map)
    with progress_bars() as progress:
        task = progress.add_task("checking", total=len(cases))
        checked = check_cases(
            cases,
            allowed=declared if chosen else classes.label_map,
            ignore=ignore,
            on_case=lambda case: progress.advance(task),
        )
        if chosen:
            classes = choose_classes(chosen, checked.found, declared, ignore)
            check_ignore(ignore, classes.label_map)
        reading = read_cases(cases, classes, ignore)
        facts = [*progress.track(reading, len(cases), description="measuring")]
    for doubt in checked.doubts:
        complain("warning", doubt)
    return fingerprint(facts, classes, ignore)


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
    data.add_row("HU inside (99 %)", *[f"{found.hu[p]:.0f}" for p in (0.5, 50.0, 99.5)])
    out.print(data)
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
