"""Statistics of a run: a file for each label map, and a table of all cases of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_attn.inference.label_statistics import LabelStatistics, label_statistics
from monai_attn.io.files import sha256_of
from monai_attn.io.names import labels_name
from monai_attn.io.tables import write_table
from monai_attn.runs.extra_files import ExtraFile, WrittenCase
from monai_attn.runs.json_values import DAMAGED, Json, dict_of
from monai_attn.runs.manifest import scan_name

TABLE = "statistics.csv"
COLUMNS = (
    "case",
    "label",
    "name",
    "volume_ml",
    "mean_hu",
    "sd_hu",
    "components",
    "extent_left_right_mm",
    "extent_back_front_mm",
    "extent_foot_head_mm",
    "touches",
)
DIGITS = 3  # after the point: 1 microlitre, and far below the noise of HU
MARK = b'{\n  "labels_sha256"'


def statistics_content(
    statistics: Mapping[int, LabelStatistics], names: Mapping[int, str]
) -> dict[str, Json]:
    """Return statistics as plain values, by the name of the label."""
    return {
        names.get(label, f"label {label}"): {"label": label, **_rounded(asdict(found))}
        for label, found in statistics.items()
    }


def write_statistics(case: WrittenCase, path: Path) -> None:
    """Write the statistics of a case as JSON.

    Args:
        case: the scan and its label map.
        path: the file, which ends in .json.
    """
    volume = case.volume
    found = label_statistics(case.labels, volume.data, volume.affine, case.names)
    content = {
        "labels_sha256": sha256_of(case.target),
        "case": labels_name(case.target).removesuffix("_seg"),
        "scan": scan_name(case.scan.path),
        "labels": statistics_content(found, case.names),
    }
    write_table(path, content, (), ())


STATISTICS = ExtraFile("statistics file", "_statistics.json", MARK, write_statistics)


def check_statistics_table(folder: Path) -> None:
    """Check that a folder has no other file where the table of statistics is written.

    Raises:
        ValueError: if there is one, which would be overwritten.
    """
    path = folder / TABLE
    begins = ",".join(COLUMNS[:3]).encode()
    if path.exists() and not path.read_bytes().startswith(begins):
        raise ValueError(f"{path}: no statistics of a run, so it is not replaced. Move it away.")


def write_statistics_table(folder: Path, targets: Iterable[Path]) -> Path:
    """Write a table with a row for each label of each case that has statistics.

    Args:
        folder: folder of the table.
        targets: label maps of the cases.
    """
    rows = [row for target in targets for row in _rows(STATISTICS.path(target))]
    return write_table(folder / TABLE, rows, COLUMNS, rows)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            _row(str(content["case"]), name, found)
            for name, found in dict_of(content["labels"]).items()
        ]
    except DAMAGED:  # the case failed
        return []


def _row(case: str, name: str, found: Json) -> dict[str, Any]:
    extent = found["extent_mm"] or (None, None, None)
    values = {key: found[key] for key in ("label", *COLUMNS[3:7])}
    edges = dict(zip(COLUMNS[7:10], extent, strict=True))
    return {"case": case, "name": name, **values, **edges, "touches": " | ".join(found["touches"])}


def _rounded(values: Json) -> Json:
    """Round numbers, and those in tuples."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        return round(value, DIGITS) if isinstance(value, float) else value

    return {key: plain(value) for key, value in values.items()}
