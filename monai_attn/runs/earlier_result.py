"""The earlier result of a scan, as far as its files are intact and a new run would make the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_attn.io.files import sha256_of
from monai_attn.io.names import manifest_path
from monai_attn.runs.json_values import DAMAGED


@dataclass(frozen=True)
class EarlierResult:
    """The content of a manifest whose label map is up to date.

    Attributes:
        volumes_ml: the volume of each label found in it, in ml.
        fallback: reason why a run in focus mode became a full run, or empty.
        warnings: the doubts about the scan.
        intervals_ml: the lowest and the highest plausible volume of each label, if requested.
        check: the failed checks of its labels, or empty.
    """

    volumes_ml: dict[int, float]
    fallback: str
    warnings: tuple[str, ...]
    intervals_ml: dict[int, tuple[float, float]] = field(default_factory=dict)
    check: str = ""


def find_earlier_result(
    target: Path, settings: Mapping[str, Any], scan_sha256: str
) -> EarlierResult | None:
    """Return a manifest's content if its label map is intact and of this scan with these settings.

    Args:
        target: the label map.
        settings: as for `write_manifest`.
        scan_sha256: as for `write_manifest`.
    """
    try:
        content = json.loads(manifest_path(target).read_text(encoding="utf-8"))
        files = content["files_sha256"]
        same = (
            content["scan_sha256"] == scan_sha256
            and content["settings"] == dict(settings)
            and target.name in files
            and all(sha256_of(target.with_name(name)) == value for name, value in files.items())
        )
        volumes = {int(label): float(ml) for label, ml in content["volumes_ml"].items()}
        intervals = {
            int(label): (float(low), float(high))
            for label, (low, high) in content.get("confidence", {}).get("intervals_ml", {}).items()
        }
        fallback, warnings = str(content.get("fallback", "")), tuple(content["warnings"])
        kept = EarlierResult(volumes, fallback, warnings, intervals, str(content.get("check", "")))
    except DAMAGED:
        return None  # the manifest is missing or damaged
    return kept if same else None
