"""The files of one segmented case: its label map, its maps, and the manifest as the last."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from monai_attn.inference.segmentation import Segmentation
from monai_attn.io.folder_lock import folder_lock
from monai_attn.io.names import attention_path, entropy_path, probabilities_path
from monai_attn.io.writer import write_labels, write_map, write_probabilities
from monai_attn.runs.manifest import manifest_started, write_manifest


def write_case(
    target: Path,
    result: Segmentation,
    settings: Mapping[str, Any],
    *,
    scan_sha256: str,
    warnings: Iterable[str] = (),
    check: str = "",
    channels: Mapping[str, str] | None = None,
) -> None:
    """Write a label map and the files next to it, whole or not at all.

    Args:
        target: the label map.
        result: the segmentation.
        settings: settings of the bundle, the backend and the options.
        scan_sha256: SHA-256 of the scan.
        warnings: the warnings about the scan.
        check: the failed checks of the labels, in one line.
        channels: the file of each channel by its name, unless the scan is one CT.
    """
    start = time.perf_counter()
    # locked: otherwise this manifest could vouch for files of another run
    with folder_lock(target.parent), manifest_started(target, result.scan.path):
        files = _write_files(target, result)
        result.seconds["write"] = time.perf_counter() - start
        write_manifest(
            target,
            result,
            settings,
            scan_sha256=scan_sha256,
            files=files,
            warnings=warnings,
            check=check,
            channels=channels,
        )


def _write_files(target: Path, result: Segmentation) -> list[Path]:
    """Write the maps, then the label map; without it, leave no map, as nothing would say whose it is."""
    files = []
    try:
        for file in _maps(target, result):
            files.append(file)
        files.append(write_labels(target, result.labels, like=result.scan))
    except BaseException:
        if not target.exists():
            for file in files:
                file.unlink(missing_ok=True)
        raise
    return files


def _maps(target: Path, result: Segmentation) -> Iterator[Path]:
    for level, attention in result.attention.items():
        yield write_map(attention_path(target, level), attention, result.scan)
    if result.entropy is not None:
        yield write_map(entropy_path(target), result.entropy, result.scan)
    if result.probabilities is not None:
        yield write_probabilities(probabilities_path(target), result.probabilities, result.scan)
