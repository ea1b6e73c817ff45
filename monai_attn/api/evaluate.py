"""Scores of label maps against references, from files or from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_attn.api.result import Result
from monai_attn.datasets.ignore import find_ignore
from monai_attn.datasets.region_choice import declared_regions
from monai_attn.datasets.regions import Regions, named_regions
from monai_attn.io.images import as_volume
from monai_attn.io.scan import read_volume
from monai_attn.io.volume import Volume
from monai_attn.metrics.evaluation import evaluate_files, evaluate_volumes
from monai_attn.metrics.scores import CaseScore


def evaluate(
    prediction: Any,
    reference: Any,
    *,
    labels: Iterable[int] | None = None,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    partial: bool = False,
    regions: Mapping[str, Sequence[int]] | str | Path | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[CaseScore]:
    """Score labels against references: Dice, precision, recall, surface distances, volumes.

    Args:
        prediction: a `Result`, the file of a label map, a folder of label maps, or a label map in memory, in
            any form that `Model.segment` takes.
        reference: the reference on the same grid: a file or a label map in memory; for a folder, a folder.
        labels: labels to score; by default those of the bundle for a `Result`, else every label above 0 that
            occurs.
        classes: the label that each value in the references stands for, if they are numbered differently,
            such as `{7: 1}`; all other values become background.
        ignore: value in the references that marks unlabelled voxels, which are left out, if there is one.
        partial: for folders, whether references without a prediction are left out, with a warning.
        regions: structures that overlap, each scored with all that is within it: name to values, such as
            `{"whole": [1, 2], "tumour": [2]}`, where the score's label is the first value; or a data set
            whose `dataset.json` declares them, and perhaps an ignore value. By default those of the bundle
            for a `Result`.
        on_case: called after each case with the number of cases done and the number of all cases.

    Returns:
        A score for each case and label.

    Raises:
        ValueError: if a file is no label map, the cases do not pair up, or two grids differ.
        TypeError: if a label map or another argument is of the wrong kind.

    Example:
        >>> evaluate("out/", "labels/")  # doctest: +SKIP
    """
    if isinstance(labels, str):
        raise TypeError(f"labels (={labels!r}): numbers expected, such as [1]")
    if classes is not None and not isinstance(classes, Mapping):
        raise TypeError(f"classes (={classes!r}): a mapping expected, such as {{7: 1}}")
    found = _regions(regions)
    if isinstance(regions, (str, Path)):
        ignore = find_ignore(ignore, regions)
    if isinstance(prediction, (str, Path)) and isinstance(reference, (str, Path)):
        return evaluate_files(
            prediction,
            reference,
            labels=labels,
            classes=classes,
            ignore=ignore,
            partial=partial,
            regions=found,
            on_case=on_case,
        )
    case = ""
    if isinstance(prediction, Result):
        found = found or prediction.segmentation.regions
        case, names = prediction.name, prediction.label_names
        labels = names if labels is None else labels
        grid = prediction.grid
        prediction = Volume(**vars(grid), data=prediction.labels.astype("float32"))
    scores = evaluate_volumes(
        _label_map(prediction, "prediction"),
        _label_map(reference, "reference"),
        case=case,
        labels=labels,
        classes=classes,
        ignore=ignore,
        regions=found,
    )
    on_case(1, 1)
    return scores


def _regions(given: Mapping[str, Sequence[int]] | str | Path | None) -> Regions | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return named_regions(given)
    classes = declared_regions(given)
    if classes is None:
        raise ValueError(
            f"{given}: declares no regions (expected a dataset.json in which a label lists several values). "
            "Leave out the regions."
        )
    return classes.regions


def _label_map(source: Any, name: str) -> Volume:
    """Return a label map as a volume, in which a voxel without a number is a fault."""
    if isinstance(source, (str, Path)):
        return read_volume(source, fill=None)
    return as_volume(source, name, fill=None)
