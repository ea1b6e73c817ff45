"""Tables as files: JSON for programs or CSV for spreadsheets, by the suffix of the name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_attn.io.files import atomic_write, make_writable

SUFFIXES = (".json", ".csv")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell of text that a spreadsheet would compute


def check_table_path(path: str | Path, keys: Collection[str], columns: Sequence[str] = ()) -> Path:
    """Check that a table can be written to a path, before hours of work, and make its folder.

    Args:
        path: file name that ends in .json or .csv.
        keys: keys that the JSON of such a table has: only an earlier one is replaced.
        columns: columns of such tables in CSV; none if they are written as JSON only.

    Raises:
        ValueError: if the name ends in neither .json nor .csv, the folder cannot be written to, or the path
            holds anything but such a table.
    """
    path = Path(path)
    kind = _kind(path)
    make_writable(path.parent)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return path
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be replaced ({error.strerror}). Choose another output."
        ) from error
    begins = ",".join(columns[:3]).encode()
    earlier = _has_keys(content, keys) if kind == ".json" else begins and content.startswith(begins)
    if content and not earlier:
        raise ValueError(
            f"{path}: was not written by this command, so it is not replaced. Choose another output."
        )
    return path


def _has_keys(content: bytes, keys: Collection[str]) -> bool:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= set(keys)


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
