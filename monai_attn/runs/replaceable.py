"""Check that a result may be written: no file of a user and no result of another scan is replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai_attn.io.dicom.series_path import scan_exists
from monai_attn.io.files import sha256_of
from monai_attn.io.names import (
    LABELS,
    check_length,
    labels_name,
    manifest_path,
    map_paths,
    real_path,
)
from monai_attn.runs.json_values import DAMAGED, dict_of, text_of

AWAY = "so it is not replaced. Move it away, or choose another output."


class NotReplacedError(ValueError):
    """An output would replace a file that is not an earlier result of the same scan."""


def check_outputs(
    target: Path,
    scan: Path,
    levels: Iterable[int] = (),
    *,
    entropy: bool = False,
    probabilities: bool = False,
    in_memory: str = "",
    own: bool = False,
) -> None:
    """Check that a label map and its maps can be written: their names, and what is there already.

    Args:
        target: path of the label map.
        scan: the scan it is of.
        levels: levels of the attention maps.
        entropy: whether the entropy is written too.
        probabilities: whether the probabilities are.
        in_memory: the SHA-256 of a scan in memory, whose path is only a name.
        own: whether the folder is the caller's own, so that whatever is there is replaced.

    Raises:
        ValueError: if a name is too long.
        NotReplacedError: as `check_replaceable`.
    """
    levels = tuple(levels)
    check_length(target, levels, entropy=entropy, probabilities=probabilities)
    if own:
        return
    maps = map_paths(target, levels, entropy=entropy, probabilities=probabilities)
    check_replaceable(target, scan, maps, in_memory=in_memory)


def check_replaceable(
    target: Path, scan: Path, maps: Iterable[Path] = (), *, in_memory: str = ""
) -> None:
    """Check that a result replaces nothing, or only an earlier result of the same scan.

    Args:
        target: path of the label map.
        scan: the scan it is of.
        maps: paths of the maps that are written next to it.
        in_memory: as for `check_outputs`.

    Raises:
        NotReplacedError: if another file, labels that were changed since a run made them, the result of
            another scan that still exists, or the manifest of another label map would be replaced.
    """
    path = manifest_path(target)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _check_made((target, *maps), {})
        return
    except DAMAGED:
        content = None
    if not isinstance(content, dict) or "scan" not in content:
        raise NotReplacedError(f"{path}: not a manifest, so it is not replaced. Move it away.")
    files = dict_of(content.get("files_sha256"))
    if not files:  # a run began to write, and was stopped
        return
    for end in LABELS:  # NAME.nii and NAME.nii.gz have one manifest
        twin = target.with_name(f"{labels_name(target)}{end}")
        if twin != target and twin.name in files and twin.is_file():
            raise NotReplacedError(
                f"{path}: is the manifest of {twin}, and would be replaced by that of {target}. Choose "
                "another output."
            )
    _check_made((target, *maps), files)
    if target.is_file():
        _check_scan(target, scan, content, in_memory)
        if sha256_of(target) != files[target.name]:
            raise NotReplacedError(f"{target}: was changed since a run made it, {AWAY}")


def _check_scan(target: Path, scan: Path, content: Mapping[str, Any], in_memory: str) -> None:
    """Refuse a label map that is of another scan."""
    other = text_of(content.get("scan"))
    if not other and in_memory and in_memory != content.get("scan_sha256"):
        raise NotReplacedError(
            f"{target}: holds the labels of another scan in memory, which those of {scan} would replace. "
            "Give each scan a name of its own, or choose another output."
        )
    if other and scan_exists(Path(other)) and real_path(Path(other)) != real_path(scan):
        raise NotReplacedError(
            f"{target}: holds the labels of {other}, which those of {scan} would replace. Choose another "
            "output, or move them away."
        )


def _check_made(files: Iterable[Path], made: Mapping[str, Any]) -> None:
    """Refuse a file that exists, but is not among those that a run made."""
    for file in files:
        if file.name not in made and (file.exists() or file.is_symlink()):
            raise NotReplacedError(f"{file}: is not a result of an earlier run, {AWAY}")
