"""Records of the cases in an output folder, from its summary and the manifest of each label map.

The files may have been written by any program, or be damaged: a value of an unexpected kind counts as
absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_attn.datasets.scan_names import name_of_result
from monai_attn.io.names import LABELS
from monai_attn.runs.json_values import (
    Json,
    dict_of,
    label_names,
    number,
    numbers_of,
    text_of,
    texts_of,
)
from monai_attn.runs.manifest import SUFFIX, Manifest, read_manifest
from monai_attn.runs.summary import JSON, MADE, read_summary


@dataclass(frozen=True)
class Record:
    """One case of a run.

    Attributes:
        name: name of the case.
        status: `segmented`, `check`, `incomplete`, `kept`, `failed` or `not run`.
        labels: path of its label map, which exists if it was made.
        scan: the scan that was segmented, if it is known.
        volumes_ml: the volume of each label by its name.
        seconds: how long it took.
        warnings: doubts about the scan.
        reason: why it failed or is incomplete, what is to be checked, why all windows ran, or that
            nothing was found.
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
    manifest: Manifest = field(default_factory=Manifest)
    fault: str = ""

    @property
    def made(self) -> bool:
        """True if there is a label map to show."""
        return self.status in MADE


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
    summary = read_summary(folder)
    rows = [row for row in map(_row, summary.get("cases", ())) if row]
    listed = {row["labels"] for row in rows}
    records = [_of_row(folder, row) for row in rows]
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        target = _label_map(path)
        if target and target.name not in listed:
            records.append(_of_manifest(target))
    if not records:
        raise ValueError(
            f"{folder}: nothing was segmented into it ({JSON} and manifests are missing); give the "
            "folder that segment wrote to"
        )
    settings = dict_of(summary.get("settings")) or records[0].manifest.settings
    return Run(folder, text_of(summary.get("date")), settings, tuple(records))


def _row(row: Any) -> Json | None:
    """Return a row of the summary, or None if it is not valid: a label map has a name without folder."""
    row = dict_of(row)
    labels = text_of(row.get("labels"))
    known = all(text_of(row.get(key)) for key in ("case", "status")) and labels.endswith(LABELS)
    return row if known and Path(labels).name == labels else None


def _of_row(folder: Path, row: Json) -> Record:
    labels = folder / row["labels"]
    manifest, fault = read_manifest(labels) if row["status"] in MADE else (Manifest(), "")
    scan = text_of(row.get("scan"))
    return Record(
        name=row["case"],
        status=row["status"],
        labels=labels,
        scan=Path(scan) if scan else None,
        volumes_ml=numbers_of(row.get("volumes_ml")),
        seconds=number(row.get("seconds")),
        warnings=texts_of(row.get("warnings")),
        reason=text_of(row.get("reason")),
        manifest=manifest,
        fault=fault,
    )


def _of_manifest(target: Path) -> Record:
    """Return the record of a label map that is in no summary: the user gave the path of the file."""
    manifest, fault = read_manifest(target)
    return Record(
        name=name_of_result(manifest.scan or target, target),
        status="check" if manifest.check else "incomplete" if manifest.missing else "segmented",
        labels=target,
        scan=manifest.scan,
        volumes_ml=manifest.volumes_ml,
        seconds=sum(manifest.stages.values()) or None,
        warnings=manifest.warnings,
        reason="; ".join(filter(None, [*manifest.missing, manifest.check or manifest.fallback])),
        manifest=manifest,
        fault=fault,
    )


def _label_map(manifest: Path) -> Path | None:
    """Return the label map next to a manifest, if it exists."""
    stem = manifest.name.removesuffix(SUFFIX)
    paths = (manifest.with_name(stem + end) for end in LABELS)
    return next((path for path in paths if path.is_file()), None)
