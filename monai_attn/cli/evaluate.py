"""`monai-attn evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_attn.cli.console import complain, out, progress_of, written
from monai_attn.cli.options import (
    DebugOption,
    IgnoreOption,
    MapOption,
    RegionOption,
    TablesOption,
    labels_by_value,
    path_of,
    values_by_name,
)

if TYPE_CHECKING:
    from monai_attn.metrics.scores import CaseScore


def evaluate(
    prediction: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTION", parser=path_of, help="Label map, or a folder of label maps."
        ),
    ],
    reference: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCE",
            parser=path_of,
            help="Reference of each label map: a file, or a folder.",
        ),
    ],
    output: TablesOption = None,
    mapped: MapOption = None,
    ignore: IgnoreOption = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Leave out references without a prediction; their number is shown."
        ),
    ] = False,
    region: RegionOption = None,
    debug: DebugOption = False,
) -> None:
    """Score label maps against references: Dice, precision, recall, surface distances, volumes."""
    from monai_attn import evaluate as score
    from monai_attn.io.tables import check_table_path
    from monai_attn.metrics.scores import COLUMNS, KEYS, score_table, write_summary

    for path in output or []:
        check_table_path(path, KEYS, COLUMNS)
    classes, regions = labels_by_value(mapped), values_by_name(region)
    with progress_of("cases") as on_case:
        scores = score(
            prediction,
            reference,
            classes=classes,
            ignore=ignore,
            partial=partial,
            regions=regions,
            on_case=on_case,
        )
    if regions is None:
        for line in _warnings(scores, classes):
            complain("warning", line)
    out.print(
        score_table(scores, out.width) if scores else "no case has a label above 0, on either side"
    )
    if regions is not None:
        out.print(f"labels: {_named(regions)}", highlight=False)
    for path in output or []:
        written("scores", write_summary(scores, path))


def _named(regions: dict[str, list[int]] | str) -> str:
    """Return the name of the region that each label of the table stands for."""
    from monai_attn.datasets.region_choice import declared_regions

    if isinstance(regions, str):
        classes = declared_regions(regions)
        names = (
            {label: name for label, name in classes.numbered.items() if label} if classes else {}
        )
    else:
        names = {values[0]: name for name, values in regions.items()}
    return ", ".join(f"{label} is {name}" for label, name in sorted(names.items()))


def _warnings(scores: list[CaseScore], classes: dict[int, int] | None) -> Iterator[str]:
    """Yield a warning if the references seem to be labelled with other values than the predictions."""
    labels = {score.label for score in scores}
    expected = {score.label for score in scores if score.reference_ml}
    predicted = {score.label for score in scores if score.predicted_ml}
    if classes and predicted and not expected:
        yield f"no reference holds any of the values of --map: {', '.join(map(str, classes))}"
    alone = sorted(labels - predicted)
    if not classes and predicted and alone:
        yield (
            f"only the references hold the values {', '.join(map(str, alone[:8]))}"
            f"{', ...' if len(alone) > 8 else ''}. If they use other values for the same labels, name them "
            "with --map"
        )
