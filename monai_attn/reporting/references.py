"""References of a run: the label maps that its labels are compared with, and their scores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monai_attn.datasets.pairs import references_among
from monai_attn.io.errors import ScanWarning
from monai_attn.metrics.evaluation import evaluate_pairs
from monai_attn.metrics.scores import CaseScore, read_scores
from monai_attn.runs.records import Run


@dataclass(frozen=True)
class References:
    """References that the labels of a run are compared with, and their scores.

    Attributes:
        scores: scores of the cases, which they name.
        files: a reference for each label map, by the label map's file name.
        classes: the label that each value of the references stands for; the values themselves by default.
        faults: the reason why a case has no reference, by the label map's file name.
        ignore: the value in the references of voxels that count nowhere, if there is one.
    """

    scores: tuple[CaseScore, ...] = ()
    files: Mapping[str, Path] | None = None
    classes: Mapping[int, int] | None = None
    faults: Mapping[str, str] | None = None
    ignore: int | None = None


def own_scores(run: Run) -> References:
    """Return the scores that lie in the folder of a run; a `ScanWarning` says if they cannot be read."""
    path = run.folder / "scores.json"
    try:
        return References(tuple(read_scores(path)) if path.exists() else ())
    except ValueError as error:  # the report is complete without them
        warnings.warn(str(error), ScanWarning, stacklevel=2)
        return References()


def find_references(
    run: Run,
    reference: Path,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
) -> References:
    """Pair the cases of a run with references, and score them; a `ScanWarning` names each case without one.

    Args:
        run: the run.
        reference: a folder of label maps, or a file for one case.
        classes: the label that each value of the references stands for; the values themselves by default.
        ignore: the value in the references of voxels that count nowhere, if there is one.

    Raises:
        ValueError: if no case has a reference.
    """
    records = [record for record in run.records if record.made]
    paths = references_among([record.name for record in records], reference)
    if records and not paths:
        raise ValueError(
            f"{reference}: no reference for any of the cases; name the files like the scans"
        )
    files, faults, scores = {}, {}, []
    for record in records:
        file = record.labels.name
        if record.name not in paths:
            faults[file] = f"{reference}: no reference for {record.name}; name it like the scan"
            continue
        pair = (record.name, record.labels, paths[record.name])
        labels = record.manifest.label_names or None
        try:
            # another organ under a label's number would be drawn and scored as that label
            scores += evaluate_pairs(
                [pair],
                labels=labels,
                classes=classes,
                ignore=ignore,
                complete=True,
                regions=record.manifest.regions,
            )
            files[file] = paths[record.name]
        except ValueError as error:  # the other cases keep their references
            faults[file] = f"{error} (the reference is not shown)"
    for fault in faults.values():
        warnings.warn(fault, ScanWarning, stacklevel=2)
    return References(tuple(scores), files, classes, faults, ignore)
