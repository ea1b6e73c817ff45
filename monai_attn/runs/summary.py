"""The summary of an output folder: status, volumes and reason of every case, as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from monai_attn.datasets.scan_names import name_of_result
from monai_attn.io.channels import Image, files_of
from monai_attn.io.dicom.series_path import scan_exists
from monai_attn.io.files import atomic_write
from monai_attn.io.folder_lock import folder_lock
from monai_attn.runs.json_values import DAMAGED, Json
from monai_attn.runs.manifest import scan_name

if TYPE_CHECKING:
    from monai_attn.runs.batch import CaseResult

JSON, CSV = "summary.json", "summary.csv"
PAUSE = 20  # pause before the next writing, as a multiple of the duration of the last
HEAD = ("case", "status", "scan", "labels")
MADE = (
    "segmented",
    "check",
    "incomplete",
    "kept",
)  # the statuses of cases that have a label map of this run
TYPED = ("volumes_ml", "intervals_ml", "warnings")
Row = dict[str, Any]


class Summary:
    """The files `summary.json` and `summary.csv` of a folder with label maps.

    They list every case from the start, so that a killed run has a summary too. Cases of other runs into
    the folder stay listed while their scan exists. Use it as a context: both files are written at the
    start, from time to time, and at the end.

    Args:
        folder: folder of both files.
        targets: the scans, and the path of the label map of each.
        names: the name of each label.
        settings: settings of the bundle, the backend and the options.
        resume: whether results of an earlier run are listed until this run reaches their cases.

    Raises:
        ValueError: if a file of one of these names is not a summary: it would be overwritten.
    """

    def __init__(
        self,
        folder: Path,
        targets: Mapping[Image, Path],
        names: Mapping[int, str],
        settings: Mapping[str, Any],
        *,
        resume: bool = False,
    ) -> None:
        _check_replaceable(folder)
        self.folder, self.names, self.settings = folder, dict(names), dict(settings)
        self.rows = {
            target.name: _row(files_of(image)[0], target, "not run")
            for image, target in targets.items()
        }
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
        """Add the result of a case."""
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
        # failed checks are reason enough; a locator that was unsure about the same scan adds nothing
        remarks = result.check or ", ".join(filter(None, [result.fallback, nothing]))
        row["reason"] = result.error or "; ".join(filter(None, [*result.missing, remarks]))
        self.rows[result.target.name] = row
        if time.monotonic() >= self.due:
            self._write()

    def _write(self) -> None:
        start = time.monotonic()
        with folder_lock(self.folder):  # another run may write its cases too
            rows = {**_others(self.folder / JSON), **self.rows}
            ordered = [rows[name] for name in sorted(rows)]
            content = {
                "settings": self.settings,
                "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "counts": _counts(ordered),
                "cases": ordered,
            }
            with atomic_write(self.folder / JSON) as file:
                file.write((json.dumps(content, indent=2) + "\n").encode())
            with atomic_write(self.folder / CSV) as file:
                # a name that is not valid UTF-8 is escaped, and does not stop other cases
                file.write(_table(ordered, self.names.values()).encode(errors="backslashreplace"))
        end = time.monotonic()
        self.due = end + PAUSE * (end - start)


def read_summary(folder: Path) -> Json:
    """Return the summary of a folder; empty if there is none.

    Raises:
        ValueError: if it is damaged.
    """
    path = folder / JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content["cases"], list):
            return content
    except FileNotFoundError:
        return {}
    except DAMAGED:
        pass
    raise ValueError(
        f"{path}: is damaged, or no summary of a run. Segment the scans again, with resume."
    )


def _row(scan: Path, target: Path, status: str) -> Row:
    return {
        "case": name_of_result(scan, target),
        "status": status,
        "scan": scan_name(scan),
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
        raise ValueError(f"{path}: not a summary of a run, so it is not replaced. Move it away.")


def _others(path: Path) -> dict[str, Row]:
    """Read the rows of an earlier summary whose scans still exist; empty if there is no valid summary."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["cases"]
        empty = _row(Path("a"), Path("a.nii"), "")
        return {
            row["labels"]: {key: row[key] for key in empty}
            for row in rows
            if all(isinstance(row[key], type(empty[key])) for key in TYPED)
            and (not row["scan"] or scan_exists(Path(row["scan"])))
        }
    except DAMAGED:
        return {}


def _counts(rows: Iterable[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return counts


def _table(rows: list[Row], labels: Iterable[str]) -> str:
    """Return the rows as CSV, with a volume column for each label; only existing label maps are named."""
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
