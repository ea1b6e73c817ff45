"""A reader's verdicts on the cases of a run: `reading.json` in its folder, saved from the report.

```
{"format": "monai-attn reading", "version": 1, "report": "out", "cases": [
 {"case": "scan_1", "verdict": "accept", "comment": "", "time": "2026-01-02T03:04:05.678Z"}]}
```

`report` is the name of the run's folder, `verdict` is `accept`, `reject` or empty, and `time` is when the
entry was changed last (ISO 8601, UTC).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from monai_attn.runs.json_values import DAMAGED, dict_of, text_of
from monai_attn.runs.records import read_run

FILE = "reading.json"
FORMAT, VERSION = "monai-attn reading", 1
VERDICTS = {"accept": "accepted", "reject": "rejected"}
LONGEST = 10_000_000  # bytes: a comment of a page on each of a thousand cases is less


@dataclass(frozen=True)
class Entry:
    """A reader's entry on a case.

    Attributes:
        verdict: `accept`, `reject`, or empty.
        comment: what the reader wrote.
        time: when it was changed last, ISO 8601.
    """

    verdict: str
    comment: str
    time: str


@dataclass(frozen=True)
class Reading:
    """The entries of a reader on the cases of a run, by the name of the case.

    Attributes:
        entries: the entries on cases of this run.
        unknown: the names of other cases in the file.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def summary(self, cases: int) -> str:
        """Return a line that counts the verdicts, out of a number of cases.

        Example:
            >>> Reading({"a": Entry("accept", "", "")}).summary(3)
            '1 of 3 cases read: 1 accepted, 0 rejected'
        """
        counts = dict.fromkeys(VERDICTS, 0)
        for entry in self.entries.values():
            if entry.verdict:
                counts[entry.verdict] += 1
        said = ", ".join(f"{count} {VERDICTS[verdict]}" for verdict, count in counts.items())
        return f"{sum(counts.values())} of {cases} cases read: {said}"


def read_reading(folder: Path, cases: Collection[str]) -> Reading | None:
    """Read the reading in the folder of a run, or return None if there is none.

    Args:
        folder: the folder of the run.
        cases: the names of its cases.

    Raises:
        ValueError: one line, if the file is damaged, or is no reading.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        if path.stat().st_size > LONGEST:
            raise ValueError(f"larger than {LONGEST // 1_000_000} MB")
        content = dict_of(json.loads(path.read_text(encoding="utf-8")))
    except DAMAGED as error:
        raise ValueError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}). Save it from the report again."
        ) from error
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        given = f"format {content.get('format')!r}, version {content.get('version')!r}"
        raise ValueError(
            f"{path}: not a reading of a report (got {given[:80]}, expected {FORMAT!r}, version {VERSION}). "
            "Save it from the report again."
        )
    entries = dict(_entries(path, content))
    known = {name: entry for name, entry in entries.items() if name in cases}
    return Reading(known, tuple(name for name in entries if name not in known))


def reading_line(folder: Path) -> str:
    """Return a line on the reading in the folder of a run; empty if there is none that can be read."""
    cases = [record.name for record in read_run(folder).records if record.made]
    try:
        reading = read_reading(folder, cases)
    except ValueError:  # the report has said so
        return ""
    return reading.summary(len(cases)) if reading else ""


def _entries(path: Path, content: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    cases = content.get("cases")
    if not isinstance(cases, list):
        raise ValueError(f"{path}: no list of cases. Save it from the report again.")
    for row in map(dict_of, cases):
        name, verdict = text_of(row.get("case")), row.get("verdict", "")
        if not name or verdict not in ("", *VERDICTS) or not _is_time(row.get("time")):
            raise ValueError(
                f"{path}: case {name[:80]!r} has no valid entry (verdict {str(verdict)[:20]!r}, expected "
                "'accept', 'reject' or empty, and a time). Save it from the report again."
            )
        yield name, Entry(verdict, text_of(row.get("comment")), row["time"])


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00"))  # Python 3.10 knows no Z
    except (AttributeError, TypeError, ValueError):
        return False
    return True
