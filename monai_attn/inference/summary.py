"""A folder's summary: every case with its status, its volumes and its reason, for programs and tables."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from monai_attn.data.files import alone_in, written_whole
from monai_attn.data.names import case_name
from monai_attn.inference.batch import CaseResult

JSON, CSV = "summary.json", "summary.csv"
PAUSE = 20  # times as long as writing took, until it is written again
HEAD = ("case", "status", "scan", "labels")
MADE = ("segmented", "check", "kept")
TYPED = ("volumes_ml", "intervals_ml", "warnings")
Row = dict[str, Any]


class Summary:
    """`summary.json` and `summary.csv` of a folder that label maps are written to.

    They list every case from the first moment on, so that a run that is killed has its summary. Cases of
    other runs into the folder stay listed while their scan is there. Use it as a context: both files are
    written as it begins, from time to time, and as it ends.

    Args:
        folder: where they lie.
        targets: the scans, and where the labels of each go.
        names: the name of each label.
        settings: what there is to say of the bundle, the backend and the options.
        resume: whether what an earlier run made counts until this one comes to it.

    Raises:
        ValueError: if a file of these names is there and is no summary: it would be lost.
    """

    def __init__(
        self,
        folder: Path,
        targets: Mapping[Path, Path],
        names: Mapping[int, str],
        settings: Mapping[str, Any],
        *,
        resume: bool = False,
    ) -> None:
        _check_replaceable(folder)
        self.folder, self.names, self.settings = folder, dict(names), dict(settings)
        self.rows = {target.name: _row(scan, target, "not run") for scan, target in targets.items()}
        if resume:
            earlier = _others(folder / JSON)
            made = [name for name in self.rows if earlier.get(name, {}).get("status") in MADE]
            self.rows |= {name: earlier[name] for name in made}
        self.due = 0.0

    def __enter__(self) -> Summary:
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._write()

    def add(self, result: CaseResult) -> None:
        """Note what became of a case."""
        row = _row(result.scan, result.target, result.status)
        if not result.error:
            row["volumes_ml"] = {
                name: round(result.volumes_ml.get(label, 0.0), 3)
                for label, name in self.names.items()
            }
            row["intervals_ml"] = {
                name: list(result.intervals_ml[label])
                for label, name in self.names.items()
                if label in result.intervals_ml
            }
        row["seconds"] = round(result.seconds, 2)
        row["warnings"] = list(result.warnings)
        nothing = "" if result.volumes_ml else "nothing was found"
        # where labels are to be checked, a locator that was unsure of the same scan adds nothing
        row["reason"] = (
            result.error or result.check or ", ".join(filter(None, [result.fallback, nothing]))
        )
        self.rows[result.target.name] = row
        if time.monotonic() >= self.due:
            self._write()

    def _write(self) -> None:
        start = time.monotonic()
        with alone_in(self.folder):  # another run may write its cases too
            rows = {**_others(self.folder / JSON), **self.rows}
            ordered = [rows[name] for name in sorted(rows)]
            content = {
                "settings": self.settings,
                "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "counts": _counts(ordered),
                "cases": ordered,
            }
            with written_whole(self.folder / JSON) as file:
                file.write((json.dumps(content, indent=2) + "\n").encode())
            with written_whole(self.folder / CSV) as file:
                # a name that is no UTF-8 is shown as far as it is, and stops no other case
                file.write(_table(ordered, self.names.values()).encode(errors="backslashreplace"))
        end = time.monotonic()
        self.due = end + PAUSE * (end - start)


def _row(scan: Path, target: Path, status: str) -> Row:
    return {
        "case": case_name(scan),
        "status": status,
        "scan": str(scan.absolute()),
        "labels": target.name,
        "volumes_ml": {},
        "intervals_ml": {},
        "seconds": None,
        "warnings": [],
        "reason": "",
    }


def _check_replaceable(folder: Path) -> None:
    for path, begins in ((folder / JSON, '{\n  "settings":'), (folder / CSV, ",".join(HEAD))):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                if file.read(len(begins)) == begins:
                    continue
        except FileNotFoundError:
            continue
        raise ValueError(f"{path}: is no summary of a run, and one would replace it; move it away")


def _others(path: Path) -> dict[str, Row]:
    """The rows of an earlier summary, if it is one, whose scans are still there."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["cases"]
        empty = _row(Path("a"), Path("a"), "")
        return {
            row["labels"]: {key: row[key] for key in empty}
            for row in rows
            if all(isinstance(row[key], type(empty[key])) for key in TYPED)
            and Path(row["scan"]).exists()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _counts(rows: Iterable[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return counts


def _table(rows: list[Row], labels: Iterable[str]) -> str:
    """The rows as CSV, with a column for the volume of each label; labels are named where they were made."""
    others = [name for row in rows for name in row["volumes_ml"]]
    names = list(dict.fromkeys([*labels, *others]))
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    between = [name for name in names if any(name in row["intervals_ml"] for row in rows)]
    volumes = [f"{name}_ml" for name in names]
    ends = [f"{name}_{end}_ml" for name in between for end in ("low", "high")]
    out.writerow([*HEAD, *volumes, *ends, "seconds", "warnings", "reason"])
    for row in rows:
        found = [row["volumes_ml"].get(name, "") for name in names]
        for name in between:
            found += row["intervals_ml"].get(name, ["", ""])
        out.writerow(
            [
                *[row[key] for key in HEAD[:-1]],
                row["labels"] if row["status"] in MADE else "",
                *found,
                "" if row["seconds"] is None else row["seconds"],
                " | ".join(row["warnings"]),
                row["reason"],
            ]
        )
    return text.getvalue()
