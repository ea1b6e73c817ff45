"""Check that a result may be written: no file of a user and no result of another scan is replaced."""

from __future__ import annotations

import json
from pathlib import Path

from monai_attn.io.dicom.series_path import scan_exists
from monai_attn.io.names import LABELS, labels_name, manifest_path, real_path
from monai_attn.runs.json_values import DAMAGED, dict_of


def check_replaceable(target: Path, scan: Path) -> None:
    """Check that no manifest lies next to a label map, or one of an earlier result of the same scan.

    Args:
        target: path of the label map.
        scan: the scan it is of.

    Raises:
        ValueError: if another file, the result of another scan that still exists, or the manifest of another
            label map would be overwritten.
    """
    path = manifest_path(target)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = "scan" in content
    except FileNotFoundError:
        return
    except DAMAGED:
        known = False
    if not known:
        raise ValueError(f"{path}: not a manifest, so it is not replaced. Move it away.")
    other, files = content["scan"], dict_of(content.get("files_sha256"))
    for end in LABELS:  # NAME.nii and NAME.nii.gz have one manifest
        twin = target.with_name(f"{labels_name(target)}{end}")
        if twin != target and twin.name in files and twin.is_file():
            raise ValueError(
                f"{path}: is the manifest of {twin}, and would be replaced by that of {target}. Choose "
                "another output."
            )
    complete = target.is_file() and files
    if not complete or not isinstance(other, str) or not other or not scan_exists(Path(other)):
        return
    if real_path(Path(other)) != real_path(scan):
        raise ValueError(
            f"{target}: holds the labels of {other}, which those of {scan} would replace. Choose another "
            "output, or move them away."
        )
