"""Config files of a bundle: JSON that is read with its path in errors, and written whole."""

from __future__ import annotations

import json
from pathlib import Path

from monai_attn.io.files import atomic_write
from monai_attn.training.overrides import Config


def read_config(path: Path) -> Config:
    """Read a JSON file.

    Raises:
        ValueError: if it is not JSON; it names the file.
        OSError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error}). Correct the file.") from error


def write_config(path: Path, content: Config) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=4) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())
