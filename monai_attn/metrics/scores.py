"""Scores of cases: summary, writing, reading and tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monai_attn.io.errors import reason
from monai_attn.io.tables import write_table


@dataclass(frozen=True)
class CaseScore:
    """The scores of one label in one case: overlaps in 0..1, distances in mm, volumes in ml.

    No value is NaN. All but the volumes are `None` if the reference lacks the label; then the predicted
    volume is that of false positives. A distance is `None` too if the prediction lacks the label and so has
    no surface. If the reference has ignored voxels, distances and NSD are `None`, and the rest is of the
    known voxels.
    """

    case: str
    label: int
    dice: float | None
    precision: float | None
    recall: float | None
    surface_distance_mm: float | None
    hd95_mm: float | None
    nsd_2mm: float | None
    reference_ml: float
    predicted_ml: float

    @property
    def volume_error_ml(self) -> float:
        """Predicted minus reference volume in ml: above 0 if too much was labelled."""
        return self.predicted_ml - self.reference_ml

    @property
    def absolute_volume_error_ml(self) -> float:
        """The absolute value of the volume error in ml."""
        return abs(self.volume_error_ml)


COLUMNS = tuple(field.name for field in fields(CaseScore))
KEYS = ("cases", "mean")  # of the JSON of scores
OVERLAPS = ("dice", "precision", "recall")
ON_SURFACES = ("surface_distance_mm", "hd95_mm", "nsd_2mm")
VOLUMES = ("reference_ml", "predicted_ml", "volume_error_ml", "absolute_volume_error_ml")
AVERAGED = (*OVERLAPS, *ON_SURFACES, *VOLUMES)
HEADINGS = (
    *("label", "Dice", "prec.", "recall", "MSD\nmm", "HD95\nmm", "NSD\n2 mm"),
    *("ref.\nml", "error\nml"),
)


def summarize(scores: Iterable[CaseScore]) -> dict[str, Any]:
    """Summarise scores as plain values, ready for JSON.

    Args:
        scores: scores of any number of cases and labels.

    Returns:
        `{"cases": [...], "mean": {...}}`: a row per score, and per label (a string, as JSON's keys
        are) the mean of each column, `dice_median`, `dice_min` and `absolute_volume_error_ml`, all over the
        `n` cases whose reference has the label. The means of the distances are over the `n_surface` of them
        that have any, that of the NSD over those that have one, and `None` if no case has one. Of the
        `n_absent` other cases, `n_false` have false positives, with `false_positive_ml` in the mean of all
        of them.

    Example:
        >>> summary = summarize([CaseScore("a", 1, 0.75, 0.75, 0.75, 1.2, 4.0, 0.9, 80.0, 80.0)])
        >>> summary["mean"]["1"]["dice"]
        0.75
    """
    scores = list(scores)
    by_label = {
        label: [score for score in scores if score.label == label]
        for label in sorted({score.label for score in scores})
    }
    return {
        "cases": [{**asdict(score), "volume_error_ml": score.volume_error_ml} for score in scores],
        "mean": {str(label): _summarize_label(group) for label, group in by_label.items()},
    }


def write_summary(scores: Iterable[CaseScore], path: str | Path) -> Path:
    """Write `summarize(scores)` as JSON, or its cases as CSV, by the suffix of the path.

    The file is written completely or not at all; its folder is made if needed. A distance that is `None` is
    null in JSON and an empty cell in CSV.

    Returns:
        The path of the file.

    Raises:
        ValueError: if the file name ends in neither .json nor .csv.
    """
    summary = summarize(scores)
    return write_table(path, summary, [*COLUMNS, "volume_error_ml"], summary["cases"])


def read_scores(path: str | Path) -> list[CaseScore]:
    """Read the scores that `write_summary` wrote as JSON.

    Raises:
        ValueError: if there is no such file, or a score in it lacks a value or occurs twice.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror}). Give the scores.json of an evaluation."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: is not JSON ({reason(error)}). Give the scores.json of an evaluation."
        ) from error
    try:
        scores = [CaseScore(**{name: row[name] for name in COLUMNS}) for row in content["cases"]]
    except (KeyError, TypeError) as error:
        lacks = f" (lacks {error.args[0]})" if isinstance(error, KeyError) else ""
        raise ValueError(f"{path}: no scores of this version{lacks}. Evaluate again.") from error
    keys = set()
    for score in scores:
        fault = _fault(score)
        if fault or (score.case, score.label) in keys:
            raise ValueError(
                f"{path}: case {score.case!r:.60}, label {score.label!r:.20}: "
                f"{fault or 'occurs twice'} (expected one complete score of each). Evaluate again."
            )
        keys.add((score.case, score.label))
    return scores


def score_table(scores: Iterable[CaseScore], width: int = 80) -> Table:
    """Lay out scores for the terminal: a row per case and label, then the means over cases.

    Args:
        scores: of each case and label.
        width: of the terminal in characters. If it is too small, the last columns are left out and named.
    """
    scores = list(scores)
    unnamed = [replace(score, case="") for score in scores]  # a long name is folded
    for count in range(len(HEADINGS), 1, -1):
        if Console(width=1000).measure(_score_table(unnamed, HEADINGS[:count])).minimum <= width:
            break
    table = _score_table(scores, HEADINGS[:count])
    left_out = [heading.partition("\n")[0] for heading in HEADINGS[count:]]
    notes = [f"a wider terminal also shows: {', '.join(left_out)}"] if left_out else []
    table.caption = "\n".join([*_captions(scores), *notes]) or None
    table.caption_justify = "left"
    return table


def _score_table(scores: Sequence[CaseScore], headings: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)  # fits 80 characters
    # a shortened name could be that of another case
    table.add_column("case", overflow="fold", min_width=6)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    summary = summarize(scores)
    for row in summary["cases"]:
        table.add_row(Text(row["case"]), *[str(row["label"]), *_cells(row)][: len(headings)])
    table.add_section()
    for label, row in summary["mean"].items():
        if row["n"] > 1 or (row["n"] and row["n_absent"]):
            cells = [label, *_cells(row)][: len(headings)]
            table.add_row(Text(f"mean of {row['n']}"), *cells, style="bold")
    return table


def _summarize_label(scores: list[CaseScore]) -> dict[str, float | None]:
    absent = [score for score in scores if score.dice is None]
    present = [score for score in scores if score.dice is not None]
    dice = [score.dice for score in present if score.dice is not None]
    return {
        "n": len(present),
        "n_surface": sum(score.surface_distance_mm is not None for score in present),
        "n_absent": len(absent),
        "n_false": sum(score.predicted_ml > 0 for score in absent),
        "false_positive_ml": _mean_of_known(score.predicted_ml for score in absent),
        "dice_median": median(dice) if dice else None,
        "dice_min": min(dice, default=None),
        **{name: _mean_of_known(getattr(score, name) for score in present) for name in AVERAGED},
    }


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        *[_cell(row[name], 3) for name in OVERLAPS],
        *[_cell(row[name], 2) for name in ("surface_distance_mm", "hd95_mm")],
        _cell(row["nsd_2mm"], 3),
        _cell(row["reference_ml"], 1),
        f"{row['volume_error_ml']:+.1f}",
    ]


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _captions(scores: list[CaseScore]) -> Iterator[str]:
    """Yield notes on the means, such as the number of cases with distances, labels alike in one line."""
    for label, row in summarize(scores)["mean"].items():
        if row["n_absent"]:
            found = (
                f"falsely labelled in {row['n_false']}, {row['false_positive_ml']:.1f} ml in the mean of all"
                if row["n_false"]
                else "not labelled there either"
            )
            yield f"label {label}: in {row['n']} of {row['n'] + row['n_absent']} references; {found}"
    whole = [score for score in scores if score.nsd_2mm is not None]
    counts: dict[tuple[int, int], list[str]] = {}
    for label, row in summarize(whole)["mean"].items():
        if row["n_surface"] < row["n"]:
            counts.setdefault((row["n_surface"], row["n"]), []).append(label)
    for (known, cases), labels in counts.items():
        word = "label" if len(labels) == 1 else "labels"
        yield (
            f"{word} {', '.join(labels)}: MSD and HD95 of {known} of {cases} cases; "
            "it was missed in the others"
        )
    partly = {s.case for s in scores if s.nsd_2mm is None and s.dice is not None}
    if partly:
        # where a reference lacks the labels, a score does not say whether all of it is known
        labelled = {score.case for score in scores if score.dice is not None}
        which = "" if len(labelled) == len({score.case for score in scores}) else " with a label"
        yield (
            f"ignored voxels in {len(partly)} of {len(labelled)} cases{which}: "
            "only the known voxels are scored, without surface distances"
        )


def _fault(score: CaseScore) -> str:
    """Return the fault of a score read from a file, or an empty string."""
    if not isinstance(score.case, str) or type(score.label) is not int:
        return "not a name and a whole number"
    for name in COLUMNS[2:]:
        value = getattr(score, name)
        known = type(value) in (int, float) and math.isfinite(value)
        absent = score.reference_ml == 0 and name in OVERLAPS
        if not known and not (value is None and (absent or name in ON_SURFACES)):
            return f"{name} is {value!r:.20}"
    return ""
