"""`monai-attn demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.console import out, written
from monai_attn.cli.options import BundleOption, DebugOption, DeviceOption, path_of
from monai_attn.cli.phantom import phantom
from monai_attn.cli.report import make_report
from monai_attn.cli.segment import segment


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
    from monai_attn import evaluate
    from monai_attn.bundle.find import is_shipped
    from monai_attn.datasets.cases import find_cases
    from monai_attn.io.names import REPORT, case_name
    from monai_attn.io.scan import read_volume
    from monai_attn.metrics.scores import score_table, write_summary
    from monai_attn.reporting.figures import case_figure, save_figure
    from monai_attn.runs.records import read_run

    phantom(output / "phantoms", count, seed, all_organs=False)
    # another bundle's network may have no gates
    segment(
        [output / "phantoms"], output / "labels", [bundle], device, attention=is_shipped(bundle)
    )
    names = read_run(output / "labels").records[0].manifest.label_names
    scores = []
    for case in find_cases(output / "phantoms"):
        image, reference = Path(case["image"]), Path(case["label"])
        labels = output / "labels" / f"{case_name(image)}_seg.nii.gz"
        scores += evaluate(labels, reference)
        scan = read_volume(image)
        figure = case_figure(
            scan.data,
            read_volume(labels).data.astype(int),
            scan.affine,
            title=f"{case_name(image)}, a phantom",
            reference=read_volume(reference).data.astype(int),
            names=names,
        )
        written("picture", save_figure(figure, output / "pictures" / f"{case_name(image)}.png"))
    out.print(score_table(scores))
    written("scores", write_summary(scores, output / "scores.json"))
    make_report(output / "labels", output / REPORT, reference=output / "phantoms" / "labelsTr")
