import json
from pathlib import Path

import numpy as np

from monai_attn.data.grid import Grid
from monai_attn.inference.manifest import manifest_path, write_manifest
from monai_attn.inference.plan import Plan
from monai_attn.inference.segment import Segmentation

SCAN = Grid((4, 4, 4), np.diag([10.0, 10, 10, 1]), 1, Path("/scans/a.nii.gz"))


def segmentation(plan=None):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2] = 1
    return Segmentation(SCAN, labels, plan=plan, seconds={"read": 0.12345, "network": 2.0})


def test_a_manifest_is_named_after_its_label_map():
    assert manifest_path(Path("out/a_seg.nii.gz")) == Path("out/a_seg.manifest.json")


def test_what_a_manifest_says(tmp_path):
    window = (slice(0, 8),) * 3
    plan = Plan((16, 8, 8), (0, 0, 0), (8, 8, 8), (window,), 3, {"outside the region": 2}, "focus")
    settings = {"backend": "eager", "weights_sha256": "ab"}
    path = write_manifest(tmp_path / "a_seg.nii.gz", segmentation(plan), settings)
    said = json.loads(path.read_text())
    assert said["scan"] == "/scans/a.nii.gz"
    assert said["labels"] == "a_seg.nii.gz"
    assert (said["backend"], said["weights_sha256"]) == ("eager", "ab")
    assert (said["mode"], said["fallback"]) == ("focus", "")
    assert said["windows"] == {"in_all": 3, "run": 1, "skipped": {"outside the region": 2}}
    assert said["volumes_ml"] == {"1": 32.0}
    assert said["seconds"] == {"read": 0.123, "network": 2.0}


def test_without_a_plan_there_is_no_word_of_windows(tmp_path):
    said = json.loads(write_manifest(tmp_path / "a.nii", segmentation(), {}).read_text())
    assert "windows" not in said
