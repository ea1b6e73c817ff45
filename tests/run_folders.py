"""Output folders as a run leaves them, made without a network."""

import json
from hashlib import sha256

import nibabel as nib
import numpy as np

from monai_attn.io.names import attention_path, entropy_path, manifest_path
from monai_attn.io.scan import open_scan, read_volume
from monai_attn.io.writer import write_labels, write_map

SHAPE = (12, 10, 8)  # right, anterior, superior
AFFINE = np.array([[4.0, 0, 0, -24], [0, 5, 0, -25], [0, 0, 6, -24], [0, 0, 0, 1]])  # RAS
SETTINGS = {
    "monai_attn": "0.1.0",
    "bundle": {"name": "a_bundle", "version": "1.2"},
    "intended_use": "not for patients",
    "labels": {"1": "pancreas", "2": "cyst"},
    "intensity_range": [-150.0, 250.0],
    "volume": None,
    "series": None,
}
NUMBERS = {
    "mean": 0.5,
    "seen": 0.25,
    "dead": 0.125,
    "saturated": 0.0625,
    "entropy": 0.75,
    "inside": 0.875,
    "outside": None,
    "shares": {"1": 0.375},
}


def ramp(shape=SHAPE):
    """HU that name the voxel: 10 for each step right, 1 for each anterior, 100 for each superior."""
    x, y, z = np.indices(shape)
    return (10.0 * x + y + 100 * z - 300).astype(np.float32)


def organ(shape=SHAPE):
    """A box of label 1."""
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(n // 3, max(n // 3 + 1, n - n // 3)) for n in shape)] = 1
    return labels


def stored_map(value, shape=SHAPE, unseen=None):
    """Bytes of a map of one value, unseen in a part."""
    stored = np.full(shape, 1 + round(254 * value), np.uint8)
    if unseen is not None:
        stored[unseen] = 0
    return stored


def write_case(
    out, name="a", image=None, labels=None, affine=AFFINE, *, attention=None, entropy=None, **said
):
    """A scan beside the folder, and in it a label map, maps by level, and a manifest; its summary row."""
    image = ramp() if image is None else image
    labels = organ(image.shape) if labels is None else labels
    scans = out.parent / "scans"
    for folder in (out, scans):
        folder.mkdir(parents=True, exist_ok=True)
    path = scans / f"{name}.nii.gz"
    nib.Nifti1Image(image, affine).to_filename(path)
    scan = read_volume(path)
    target = out / f"{name}_seg.nii.gz"
    files = [write_labels(target, labels, scan)]
    maps = {attention_path(target, level): stored for level, stored in (attention or {}).items()}
    if entropy is not None:
        maps[entropy_path(target)] = entropy
    files += [write_map(p, m, scan) for p, m in maps.items()]
    manifest = {
        "scan": str(path),
        "scan_sha256": open_scan(path).sha256,
        "files_sha256": {file.name: sha256(file.read_bytes()).hexdigest() for file in files},
        "settings": SETTINGS,
        "mode": "full",
        "fallback": "",
        "windows": {"in_all": 9, "run": 4, "skipped": {}},
        "volumes_ml": {"1": 12.345},
        "warnings": [],
        "seconds": {"read": 0.5, "network": 1.5},
        **said,
    }
    manifest_path(target).write_text(json.dumps(manifest))
    return row(name, path, volumes_ml={"pancreas": 12.345, "cyst": 0.0})


def row(name, scan="/gone/scan.nii.gz", status="segmented", **said):
    """A row of a summary."""
    empty = {"volumes_ml": {}, "seconds": 2.5, "warnings": [], "reason": ""}
    case = {"case": name, "status": status, "scan": str(scan), "labels": f"{name}_seg.nii.gz"}
    return {**case, **empty, **said}


def write_rows(out, *rows, **said):
    """The summary of a folder."""
    out.mkdir(parents=True, exist_ok=True)
    content = {"settings": SETTINGS, "date": "2026-01-02T03:04:05+00:00", "cases": rows, **said}
    (out / "summary.json").write_text(json.dumps(content))
    return out
