"""Table of all cases of a run, as texts and the numbers that they are sorted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_attn.io.dicom.series_path import scan_exists
from monai_attn.metrics.scores import CaseScore
from monai_attn.reporting.case_tables import ABSENT
from monai_attn.reporting.number_tips import STATUS, tip_of
from monai_attn.runs.records import Record, Run

Dict = dict[str, Any]


def columns(run: Run, scores: Mapping[str, list[CaseScore]]) -> list[Dict]:
    """Return the column heads; `scores` holds the scores of each case by its label map's file name."""
    return [
        _column("Case"),
        _column("Status"),
        *[_column(name, "ml", number=True) for name in run.volume_names],
        *[_column(f"Dice {name}".strip(), number=True) for name in _scored(run, scores)],
        _column("Mode"),
        _column("Time", "s", number=True),
        _column("Remarks"),
        _column("Reading"),
    ]


DOUBTFUL = ("check", "incomplete", "failed", "not run")  # statuses, most doubtful first


def by_doubt(records: Sequence[Record]) -> list[Record]:
    """Return the cases in the order to read them: those to check, those that failed, those with warnings."""

    def rank(record: Record) -> int:
        if record.status in DOUBTFUL:
            return DOUBTFUL.index(record.status)
        doubts = record.warnings or record.fault or record.manifest.fallback
        return len(DOUBTFUL) + (not doubts)

    return sorted(records, key=rank)


def _column(title: str, unit: str = "", *, number: bool = False) -> Dict:
    return {"title": title, "unit": unit, "number": number, "tip": tip_of(title, unit)}


def row(
    run: Run, record: Record, scores: Mapping[str, list[CaseScore]], ids: Mapping[str, str]
) -> list[Dict]:
    """Return the cells of a case, in the order of `columns`; `ids` holds its place in the page."""
    link = ids[record.labels.name] if record.made else ""
    dice = {record.manifest.named(s.label): s.dice for s in scores.get(record.labels.name, ())}
    mode = (
        f"{record.manifest.mode} (fallback)" if record.manifest.fallback else record.manifest.mode
    )
    remarks = [record.reason, *record.warnings, record.fault, _absent(record)]
    return [
        _cell(record.name, link=link),
        _cell(
            record.status,
            style=record.status.replace(" ", "-"),
            tip=STATUS.get(record.status, ""),
        ),
        *[
            _number_cell(record.volumes_ml.get(name), ".1f", said_interval(record, name))
            for name in run.volume_names
        ],
        *[_number_cell(dice.get(name or _only(dice)), ".3f") for name in _scored(run, scores)],
        _cell(mode),
        _number_cell(record.seconds, ".1f"),
        _cell(
            " \u00b7 ".join(without_scan(line, record) for line in remarks if line), style="words"
        ),
        _cell("", read=ids.get(record.labels.name, "") if record.made else ""),
    ]


def _cell(
    text: str,
    *,
    key: str | None = None,
    style: str = "",
    more: str = "",
    link: str = "",
    tip: str = "",
    read: str = "",
) -> Dict:
    """Return a cell; `read` names the case whose reading it shows."""
    return {
        "text": text,
        "key": key,
        "style": style,
        "more": more,
        "link": link,
        "tip": tip,
        "read": read,
    }


def _number_cell(value: float | None, form: str, more: str = "") -> Dict:
    if value is None:
        return _cell(ABSENT, key="", style="number")
    return _cell(f"{value:{form}}", key=repr(value), style="number", more=more)


def _absent(record: Record) -> str:
    """Return a remark if a file of the case is missing: the user reads it before opening the case."""
    if record.made and not record.labels.exists():
        return "the label map is no longer there"
    if record.made and record.scan and not scan_exists(record.scan):
        return "the scan is no longer there"
    return ""


def said_interval(record: Record, name: str) -> str:
    """Return the interval around a label's volume in ml as text, or an empty text."""
    ends = record.manifest.intervals_ml.get(name)
    return f"{ends[0]:.1f} to {ends[1]:.1f}" if ends else ""


def _scored(run: Run, scores: Mapping[str, list[CaseScore]]) -> list[str]:
    """Return the names of the labels with scores; an empty name if there is only one."""
    names = [
        record.manifest.named(score.label)
        for record in run.records
        for score in scores.get(record.labels.name, ())
    ]
    found = [*dict.fromkeys(names)]
    return [""] if len(found) == 1 else found


def _only(values: Mapping[str, float | None]) -> str:
    return next(iter(values), "")


def without_scan(line: str, record: Record) -> str:
    """Return a line without the path of the scan at its start, absolute or as it was given."""
    path, found, rest = line.partition(": ")
    return rest if found and record.scan and Path(path).name == record.scan.name else line
