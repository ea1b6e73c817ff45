"""Paths of series: FOLDER/UID is the series with that SeriesInstanceUID, although there is no such file."""

from __future__ import annotations

import re
from pathlib import Path

UID = re.compile(r"[0-9]+(\.[0-9]+)+")


def folder_of(path: Path) -> tuple[Path, str | None]:
    """Split the path of a series, FOLDER/UID, into both; a path that exists is a folder without a UID."""
    if UID.fullmatch(path.name) and not path.exists() and path.parent.is_dir():
        return path.parent, path.name
    return path, None


def scan_exists(path: Path) -> bool:
    """Check whether a scan's file or folder is there, or the folder of a series FOLDER/UID."""
    return folder_of(path)[1] is not None or path.exists()
