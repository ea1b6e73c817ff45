"""Tables as files: JSON for programs or CSV for spreadsheets, by the suffix of the name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_attn.io.files import atomic_write, make_writable

SUFFIXES = (".json", ".csv")
# keys of a datalist, and of nnU-Net's dataset.json
LISTED = {"training", "validation", "test", "testing", "numTraining"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell of text that a spreadsheet would compute


def check_table_path(path: str | Path) -> Path:
    """Check that a table can be written to a path, before hours of work, and make its folder.

    Raises:
        ValueError: if the name ends in neither .json nor .csv, the folder cannot be written to, or the file
            exists and lists the scans of a data set.
    """
    path = Path(path)
    _kind(path)
    make_writable(path.parent)
    _check_no_datalist(path)
    return path


def _check_no_datalist(path: Path) -> None:
    """Refuse a file that lists the scans of a data set, which nobody could make again."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    cases = isinstance(content, list) and any(
        isinstance(one, dict) and "image" in one for one in content
    )
    if cases or (isinstance(content, dict) and content.keys() & LISTED):
        raise ValueError(
            f"{path}: lists the scans of a data set, so it is not replaced. Choose another output."
        )


def write_table(
    path: str | Path, content: Any, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> Path:
    """Write a table, whole or not at all, and make its folder.

    Args:
        path: ends in .json or .csv.
        content: content of JSON: plain values, and no NaN.
        columns: columns of CSV, in order.
        rows: rows of CSV. `None` becomes an empty cell; a text that a spreadsheet would read as a formula
            gets an apostrophe before it.

    Returns:
        The path written.

    Raises:
        ValueError: if the name ends in neither .json nor .csv.
    """
    path = Path(path)
    if _kind(path) == ".json":
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    else:
        text = _csv(columns, rows)
    with atomic_write(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # file names may not be UTF-8
    return path


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(
            f"{path}: unknown suffix (got '{path.suffix}', expected '.json' or '.csv'); rename the file"
        )
    return kind


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(columns)
    for row in rows:
        out.writerow([_cell(row[name]) for name in columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
