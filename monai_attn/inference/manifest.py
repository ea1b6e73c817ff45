"""The record beside a label map: from what and how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_attn.data.files import written_whole
from monai_attn.data.volume import case_name
from monai_attn.inference.plan import Plan
from monai_attn.inference.segment import Segmentation


def manifest_path(target: Path) -> Path:
    """Where the manifest of a label map lies: `NAME_seg.manifest.json` for `NAME_seg.nii.gz`."""
    return target.with_name(f"{case_name(target)}.manifest.json")


def write_manifest(target: Path, result: Segmentation, settings: Mapping[str, Any]) -> Path:
    """Write the manifest of a label map, whole or not at all.

    Args:
        target: the label map.
        result: what was written there.
        settings: what there is to say of the bundle and the backend.
    """
    content = {
        "scan": str(result.scan.path),
        "labels": target.name,
        **settings,
        **(_windows(result.plan) if result.plan else {}),
        "volumes_ml": {str(label): round(ml, 3) for label, ml in result.volumes_ml.items()},
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
    }
    path = manifest_path(target)
    with written_whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def _windows(plan: Plan) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "fallback": plan.fallback,
        "windows": {"in_all": plan.total, "run": len(plan.windows), "skipped": dict(plan.skipped)},
        "roi_size": list(plan.roi_size),
        "grid": list(plan.grid),
    }
