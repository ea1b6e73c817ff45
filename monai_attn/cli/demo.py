"""`monai-attn demo`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.console import out, progress_of, written
from monai_attn.cli.options import BundleOption, DebugOption, DeviceOption, path_of
from monai_attn.cli.phantom import phantom
from monai_attn.cli.report import make_report
from monai_attn.cli.segment import segment

if TYPE_CHECKING:
    from monai_attn.metrics.scores import CaseScore


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", parser=path_of, metavar="PATH", help="Folder for all results."
        ),
    ] = Path("demo"),
    count: Annotated[int, typer.Option("--count", "-n", help="Number of phantoms.")] = 2,
    seed: Annotated[int, typer.Option(help="Random seed of the first phantom.")] = 0,
    bundle: BundleOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Make synthetic scans, segment and evaluate them, and write pictures and a report."""
    from monai_attn.bundle.find import is_shipped
    from monai_attn.datasets.cases import find_cases
    from monai_attn.io.names import REPORT
    from monai_attn.metrics.scores import score_table, write_summary

    _say(f"1. Make {count} phantoms: synthetic CT scans, each with a pancreas of known outline.")
    phantom(output / "phantoms", count, seed, all_organs=False)
    _say("2. Segment them, as you would segment your own scans.")
    # another bundle's network may have no gates
    segment(
        [output / "phantoms"], output / "labels", [bundle], device, attention=is_shipped(bundle)
    )
    _say("3. Compare the labels with the known outlines, and draw both.")
    scores, pictures = [], []
    cases = find_cases(output / "phantoms")
    with progress_of("pictures") as on_case:
        for done, case in enumerate(cases, 1):
            labels, case_scores = _score(case, output / "labels")
            scores += case_scores
            pictures.append(_draw(case, labels, output / "pictures"))
            on_case(done, len(cases))
    out.print(score_table(scores, out.width))
    written("scores", write_summary(scores, output / "scores.json"))
    _say("4. Write a report of the run.")
    make_report(output / "labels", output / REPORT, reference=output / "phantoms" / "labelsTr")
    _say(
        "Now look at a picture (labels solid, the known outline dashed) or, in a browser, at the report:"
    )
    for path in (pictures[0], output / REPORT):
        out.print(f"  {path}", markup=False, highlight=False, soft_wrap=True)
    _say("Scores on phantoms say nothing about patients. Next, segment your own scans:")
    out.print("  monai-attn segment SCANS -o out --report", markup=False, highlight=False)


def _say(text: str) -> None:
    """Print a sentence between the steps, with an empty line before it."""
    out.print(f"\n{text}", style="bold", markup=False, highlight=False)


def _score(case: Mapping[str, Any], folder: Path) -> tuple[Path, list[CaseScore]]:
    """Return the label map of a case, and its scores."""
    from monai_attn import evaluate
    from monai_attn.io.names import case_name

    labels = folder / f"{case_name(case['image'])}_seg.nii.gz"
    return labels, evaluate(labels, case["label"])


def _draw(case: Mapping[str, Any], labels: Path, folder: Path) -> Path:
    """Draw a case with its labels and its reference."""
    from monai_attn.io.names import case_name
    from monai_attn.io.scan import read_volume
    from monai_attn.reporting.figures import case_figure, save_figure
    from monai_attn.runs.records import read_run

    scan, name = read_volume(case["image"]), case_name(case["image"])
    figure = case_figure(
        scan.data,
        read_volume(labels).data.astype(int),
        scan.affine,
        title=f"{name}, a phantom",
        reference=read_volume(case["label"]).data.astype(int),
        names=read_run(labels.parent).records[0].manifest.label_names,
    )
    return save_figure(figure, folder / f"{name}.png")
