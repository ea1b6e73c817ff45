"""Records of the cases in an output folder, from its summary and the manifest of each label map.

The files may have been written by any program, or be damaged: a value of an unexpected kind counts as
absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_attn.io.names import LABELS, case_name, manifest_path

SUMMARY = "summary.json"
MANIFEST = ".manifest.json"
MADE = ("segmented", "check", "kept")  # the cases that have a label map of this run
DAMAGED = (OSError, ValueError, TypeError, AttributeError, RecursionError)
MOST_DIGITS = 18  # of a label's number: 64 bits
Json = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One case of a run.

    Attributes:
        name: name of the case.
        status: `segmented`, `check`, `kept`, `failed` or `not run`.
        labels: path of its label map, which exists if it was made.
        scan: the scan that was segmented, if it is known.
        volumes_ml: the volume of each label by its name.
        seconds: how long it took.
        warnings: doubts about the scan.
        reason: why it failed, what is to be checked, why all windows ran, or that nothing was found.
        manifest: how the label map was made; empty without one.
        fault: the fault in the manifest, in one line.
    """

    name: str
    status: str
    labels: Path
    scan: Path | None = None
    volumes_ml: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    reason: str = ""
    manifest: Json = field(default_factory=dict)
    fault: str = ""

    @property
    def made(self) -> bool:
        """True if there is a label map to show."""
        return self.status in MADE

    @cached_property
    def settings(self) -> Json:
        """Settings of the bundle, the backend and the options."""
        return _dict(self.manifest.get("settings"))

    @cached_property
    def label_names(self) -> dict[int, str]:
        """The name of each label."""
        return label_names(self.settings)

    @property
    def mode(self) -> str:
        """Mode: `full` if all windows of the body ran, `focus` for only those the locator points to."""
        return _text(self.manifest.get("mode")) or _text(self.settings.get("mode"))

    @property
    def fallback(self) -> str:
        """Reason why a run in focus mode became a full one, or an empty text."""
        return _text(self.manifest.get("fallback"))

    @cached_property
    def windows(self) -> str:
        """Number of windows that ran and in all, such as `9 of 40`, or an empty text."""
        windows = _dict(self.manifest.get("windows"))
        run, total = number(windows.get("run")), number(windows.get("in_all"))
        return "" if run is None or total is None else f"{run:.0f} of {total:.0f}"

    @cached_property
    def stages(self) -> dict[str, float]:
        """The seconds of each stage."""
        return _numbers(self.manifest.get("seconds"))

    @cached_property
    def attention(self) -> dict[str, Json]:
        """The numbers of each gate, by its level."""
        gates = _dict(self.manifest.get("attention"))
        return {level: _dict(gate) for level, gate in gates.items() if _dict(gate)}

    @cached_property
    def intervals_ml(self) -> dict[str, tuple[float, float]]:
        """The interval of each label's volume, by the label's name."""
        found = {}
        for label, ends in _dict(
            _dict(self.manifest.get("confidence")).get("intervals_ml")
        ).items():
            low, high = (number(end) for end in _pair(ends))
            if low is not None and high is not None:
                found[self.named(label)] = (low, high)
        return found

    @cached_property
    def rates(self) -> dict[str, float]:
        """Part of the true volumes that the intervals of a label hold, by its name, where known."""
        rates = _numbers(_dict(self.manifest.get("confidence")).get("rate"))
        return {self.named(label): rate for label, rate in rates.items()}

    @cached_property
    def confidence(self) -> dict[str, float]:
        """The numbers of the confidence, such as `temperature` and `views`."""
        return _numbers(self.manifest.get("confidence"))

    @cached_property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file that the run wrote, by its name."""
        files = _dict(self.manifest.get("files_sha256"))
        return {name: _text(digest) for name, digest in files.items()}

    def named(self, label: int | str) -> str:
        """Return the name of a label."""
        try:
            return self.label_names.get(int(label), f"label {label}")
        except ValueError:
            return f"label {label}"


@dataclass(frozen=True)
class Run:
    """All cases that were segmented into a folder.

    Attributes:
        folder: the folder of the label maps.
        date: date of the summary, or empty.
        settings: settings of the bundle, the backend and the options of the last run.
        records: the cases.
    """

    folder: Path
    date: str
    settings: Json
    records: tuple[Record, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of cases with each status."""
        found: dict[str, int] = {}
        for record in self.records:
            found[record.status] = found.get(record.status, 0) + 1
        return found

    @property
    def volume_names(self) -> list[str]:
        """Names of the run's labels, and of any others that a case has a volume of."""
        names = [*label_names(self.settings).values()]
        return [*dict.fromkeys(names + [n for record in self.records for n in record.volumes_ml])]


def read_run(folder: str | Path) -> Run:
    """Read a folder's summary and manifests; a label map that is in neither has no record.

    Raises:
        ValueError: if nothing was segmented into the folder, or its summary is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the one that segment wrote to")
    summary = _read_summary(folder / SUMMARY)
    rows = [row for row in map(_row, summary.get("cases", ())) if row]
    listed = {row["labels"] for row in rows}
    records = [_of_row(folder, row) for row in rows]
    for path in sorted(folder.glob(f"*{MANIFEST}")):
        target = _label_map(path)
        if target and target.name not in listed:
            records.append(_of_manifest(target))
    if not records:
        raise ValueError(
            f"{folder}: nothing was segmented into it ({SUMMARY} and manifests are missing); give the "
            "folder that segment wrote to"
        )
    settings = _dict(summary.get("settings")) or records[0].settings
    return Run(folder, _text(summary.get("date")), settings, tuple(records))


def label_names(settings: Mapping[str, Any]) -> dict[int, str]:
    """Return the name of each label in the settings of a run."""
    names = _dict(settings.get("labels"))
    return {
        int(label): str(name)
        for label, name in names.items()
        if label.isdecimal() and len(label) <= MOST_DIGITS
    }


def number(value: Any) -> float | None:
    """Return a value as a finite float, or None if it is no finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:  # JSON has integers of any size
        return None
    return found if math.isfinite(found) else None


def _read_summary(path: Path) -> Json:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content["cases"], list):
            return content
    except FileNotFoundError:
        return {}
    except (*DAMAGED, KeyError):
        pass
    raise ValueError(f"{path}: is damaged, or no summary of a run; run segment with --resume again")


def _row(row: Any) -> Json | None:
    """Return a row of the summary, or None if it is not valid: a label map has a name without folder."""
    row = _dict(row)
    labels = _text(row.get("labels"))
    known = all(_text(row.get(key)) for key in ("case", "status")) and labels.endswith(LABELS)
    return row if known and Path(labels).name == labels else None


def _of_row(folder: Path, row: Json) -> Record:
    labels = folder / row["labels"]
    manifest, fault = _read_manifest(labels) if row["status"] in MADE else ({}, "")
    scan = _text(row.get("scan"))
    warnings = row.get("warnings")
    return Record(
        name=row["case"],
        status=row["status"],
        labels=labels,
        scan=Path(scan) if scan else None,
        volumes_ml=_numbers(row.get("volumes_ml")),
        seconds=number(row.get("seconds")),
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        reason=_text(row.get("reason")),
        manifest=manifest,
        fault=fault,
    )


def _of_manifest(target: Path) -> Record:
    """Return the record of a label map that is in no summary: the user gave the path of the file."""
    manifest, fault = _read_manifest(target)
    scan = _text(manifest.get("scan"))
    names = label_names(_dict(manifest.get("settings")))
    found = _numbers(manifest.get("volumes_ml"))
    volumes = {name: found.pop(str(label), 0.0) for label, name in names.items()}
    warnings, check = manifest.get("warnings"), _text(manifest.get("check"))
    return Record(
        name=case_name(scan) if scan else case_name(target),
        status="check" if check else "segmented",
        labels=target,
        scan=Path(scan) if scan else None,
        volumes_ml=volumes | {f"label {label}": ml for label, ml in found.items()},
        seconds=sum(_numbers(manifest.get("seconds")).values()) or None,
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        reason=check or _text(manifest.get("fallback")),
        manifest=manifest,
        fault=fault,
    )


def _read_manifest(target: Path) -> tuple[Json, str]:
    """Return the manifest of a label map and an empty text, or an empty manifest and its fault."""
    path = manifest_path(target)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if target.name in manifest["files_sha256"]:
            return manifest, ""
        why = "vouches for no label map: the run was stopped"
    except (*DAMAGED, KeyError):
        why = "is missing or damaged"
    return {}, f"{path}: {why}; neither maps nor numbers are shown: segment the scan again"


def _label_map(manifest: Path) -> Path | None:
    """Return the label map next to a manifest, if it exists."""
    stem = manifest.name.removesuffix(MANIFEST)
    paths = (manifest.with_name(stem + end) for end in LABELS)
    return next((path for path in paths if path.is_file()), None)


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _numbers(value: Any) -> dict[str, float]:
    found = {name: number(item) for name, item in _dict(value).items()}
    return {name: item for name, item in found.items() if item is not None}


def _pair(value: Any) -> tuple[Any, Any]:
    return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 else (None, None)
