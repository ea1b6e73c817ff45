"""Files next to a page with cases at full resolution, which it loads when a reader asks for them.

A page that is opened from disk may not fetch data, but may run a script that lies next to it. So each file
is a script of one call. Its key is a digest of its content: the page asks for this key, and so it notices
a file of another report.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from monai_attn.io.files import atomic_write
from monai_attn.io.names import labels_name

BEGINS = b"/* monai-attn report: a case at full resolution */\n"
Dict = dict[str, Any]


def side_folder(page: Path) -> Path:
    """Return the folder of a page's files: `report_files` for `report.html`."""
    return page.with_name(f"{page.stem}_files")


def write_side_file(page: Path, labels: Path, view: Dict, volumes: Mapping[str, str]) -> Dict:
    """Write a case at full resolution next to a page, and return what the page says of the file.

    Args:
        page: the page.
        labels: the label map of the case, which names the file.
        view: its data for the viewer.
        volumes: its volumes as text.

    Returns:
        The file's place from the page, in words and as an address, its key and its size in MB.

    Raises:
        ValueError: if another file has its name.
    """
    path = side_folder(page) / f"{labels_name(labels)}.js"
    if path.exists() and not _is_side_file(path):
        raise ValueError(f"{path}: not a file of a report, so it is not replaced. Move it away.")
    content = json.dumps({"view": view, "volumes": volumes})
    key = sha256(content.encode()).hexdigest()[:16]
    with atomic_write(path) as file:
        file.write(BEGINS)
        file.write(f'takeCase("{key}", '.encode())
        file.write(content.encode())
        file.write(b");\n")
    address = "/".join(quote(os.fsencode(part)) for part in (path.parent.name, path.name))
    return {
        "file": f"{path.parent.name}/{path.name}",
        "path": address,
        "key": key,
        "megabytes": max(1, round(path.stat().st_size / 1e6)),
    }


def remove_others(page: Path, names: Collection[str]) -> None:
    """Remove the files that an older report has left next to a page, and the folder if it is empty then."""
    folder = side_folder(page)
    if not folder.is_dir():
        return
    for path in folder.glob("*.js"):
        if path.name not in names and _is_side_file(path):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _is_side_file(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(BEGINS)) == BEGINS
