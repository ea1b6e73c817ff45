import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from monai_attn.datasets.cases import find_images
from monai_attn.inference.label_measures import Pieces
from monai_attn.inference.result_checks import FailedCheck
from monai_attn.inference.segmentation import Segmentation
from monai_attn.inference.window_plan import WindowPlan
from monai_attn.io.grid import Grid
from monai_attn.io.names import manifest_path
from monai_attn.metrics.attention_numbers import gate_numbers
from monai_attn.metrics.calibration import Confidence
from monai_attn.runs.earlier_result import EarlierResult, find_earlier_result
from monai_attn.runs.manifest import manifest_started, write_manifest
from monai_attn.runs.replaceable import check_replaceable

SCAN = Grid((4, 4, 4), np.diag([10.0, 10, 10, 1]), 1, Path("/scans/a.nii.gz"))
SETTINGS = {"backend": "eager", "weights_sha256": "ab", "series": None}


def segmentation(plan=None):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2] = 1
    return Segmentation(SCAN, labels, plan=plan, seconds={"read": 0.12345, "network": 2.0})


def written(folder, plan=None, settings=SETTINGS, beside="a_attention_1.nii.gz", **options):
    """A label map with a file beside it and the manifest of both."""
    target, beside = folder / "a_seg.nii.gz", folder / beside
    target.write_bytes(b"labels")
    beside.write_bytes(b"beside")
    files = [beside, target]
    write_manifest(target, segmentation(plan), settings, scan_sha256="cd", files=files, **options)
    return target


def test_what_a_manifest_says(tmp_path):
    window = (slice(0, 8),) * 3
    plan = WindowPlan(
        (16, 8, 8), (0, 0, 0), (8, 8, 8), (window,), 3, {"outside the region": 2}, "focus"
    )
    target = written(tmp_path, plan, warnings=["/scans/a.nii.gz: thin"])
    said = json.loads(manifest_path(target).read_text())
    assert (said["scan"], said["scan_sha256"]) == ("/scans/a.nii.gz", "cd")
    assert said["files_sha256"] == {
        "a_attention_1.nii.gz": sha256(b"beside").hexdigest(),
        "a_seg.nii.gz": sha256(b"labels").hexdigest(),
    }
    assert said["settings"] == SETTINGS
    assert (said["mode"], said["fallback"]) == ("focus", "")
    assert said["windows"] == {"in_all": 3, "run": 1, "skipped": {"outside the region": 2}}
    assert said["volumes_ml"] == {"1": 32.0}
    assert said["warnings"] == ["/scans/a.nii.gz: thin"]
    assert said["seconds"] == {"read": 0.123, "network": 2.0}


def test_a_manifest_says_what_each_gate_did(tmp_path):
    made = segmentation()
    stored = np.where(made.labels > 0, 255, 128).astype(np.uint8)
    result = replace(made, attention={2: stored})
    target = tmp_path / "a_seg.nii.gz"
    write_manifest(target, result, SETTINGS, scan_sha256="cd", files=[])
    said = json.loads(manifest_path(target).read_text())["attention"]
    assert said == {"2": gate_numbers(stored, made.labels).summary()}
    assert (said["2"]["inside"], said["2"]["outside"]) == (1.0, 0.5)
    assert said["2"]["shares"] == {"1": round(2 / 3, 6)}


def test_without_attention_there_is_no_word_of_it(tmp_path):
    assert "attention" not in json.loads(manifest_path(written(tmp_path)).read_text())


def test_without_a_plan_there_is_no_word_of_windows(tmp_path):
    assert "windows" not in json.loads(manifest_path(written(tmp_path)).read_text())


def test_what_is_complete_and_up_to_date_is_kept(tmp_path):
    target = written(tmp_path, warnings=["thin"])
    assert find_earlier_result(target, SETTINGS, "cd") == EarlierResult({1: 32.0}, "", ("thin",))


def test_what_is_to_be_checked_is_said_and_kept(tmp_path):
    target = tmp_path / "a_seg.nii.gz"
    target.write_bytes(b"labels")
    failed = (
        FailedCheck(1, "volume", 32.0, (35.0, 320.0)),
        FailedCheck(1, "faces", ("last slice",)),
    )
    result = replace(segmentation(), pieces={1: Pieces(4, 2)}, failed_checks=failed)
    options = {"scan_sha256": "cd", "files": [target], "check": "pancreas 32.0 ml, expected"}
    write_manifest(target, result, SETTINGS, **options)
    said = json.loads(manifest_path(target).read_text())
    assert said["pieces"] == {"1": {"in_all": 4, "sizeable": 2}}
    assert said["check"] == "pancreas 32.0 ml, expected"
    assert said["failed_checks"] == [
        {"label": 1, "rule": "volume", "measured": 32.0, "expected": [35.0, 320.0]},
        {"label": 1, "rule": "faces", "measured": ["last slice"], "expected": None},
    ]
    assert find_earlier_result(target, SETTINGS, "cd").check == "pancreas 32.0 ml, expected"


def test_intervals_are_said_and_kept(tmp_path):
    target = tmp_path / "a_seg.nii.gz"
    target.write_bytes(b"labels")
    views = ({1: 32.0, 2: 5.0}, {1: 30.0}, {1: 36.0, 2: 6.0})
    wide = Confidence(1.5, factors={1: 2.0})
    result = replace(segmentation(), views_ml=views, confidence=wide)
    write_manifest(target, result, SETTINGS, scan_sha256="cd", files=[target])
    said = json.loads(manifest_path(target).read_text())["confidence"]
    low, high = said["intervals_ml"].pop("1")
    assert low + high == pytest.approx(64, abs=0.002)
    assert said == {
        "temperature": 1.5,
        "views": 3,
        "rate": {"1": 0.8, "2": None},
        "intervals_ml": {"2": [0, 6]},
    }
    kept = find_earlier_result(target, SETTINGS, "cd")
    assert kept.intervals_ml == {1: (low, high), 2: (0, 6)}


def test_what_was_not_found_has_an_interval_at_no_known_rate(tmp_path):
    target = tmp_path / "a_seg.nii.gz"
    target.write_bytes(b"labels")
    wide = Confidence(1.5, factors={1: 2.0})
    result = replace(segmentation(), views_ml=({}, {1: 2.0}), confidence=wide)
    write_manifest(target, result, SETTINGS, scan_sha256="cd", files=[target])
    said = json.loads(manifest_path(target).read_text())["confidence"]
    assert (said["rate"], said["intervals_ml"]) == ({"1": None}, {"1": [0, 2]})


def test_an_entropy_has_its_temperature_beside_it(tmp_path):
    target = tmp_path / "a_seg.nii.gz"
    target.write_bytes(b"labels")
    result = replace(
        segmentation(), entropy=np.ones((4, 4, 4), np.uint8), confidence=Confidence(1.5)
    )
    write_manifest(target, result, SETTINGS, scan_sha256="cd", files=[target])
    assert json.loads(manifest_path(target).read_text())["confidence"] == {"temperature": 1.5}


def without_labels(target):
    target.unlink()


def other_labels(target):
    target.write_bytes(b"label")


def without_a_map(target):
    target.with_name("a_attention_1.nii.gz").unlink()


def without_a_manifest(target):
    manifest_path(target).unlink()


def half_a_manifest(target):
    path = manifest_path(target)
    path.write_bytes(path.read_bytes()[:100])


def changed(**fields):
    def change(target):
        path = manifest_path(target)
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return change


SPOILT = {
    "no labels": without_labels,
    "other labels": other_labels,
    "an attention map is gone": without_a_map,
    "no manifest": without_a_manifest,
    "half a manifest": half_a_manifest,
    "a list": lambda target: manifest_path(target).write_text("[]"),
    "binary": lambda target: manifest_path(target).write_bytes(bytes(range(256))),
    "files of another kind": changed(files_sha256=[1]),
    "no word of the labels": changed(files_sha256={}),
    "intervals of another kind": changed(confidence={"intervals_ml": {"1": [1]}}),
    "volumes of another kind": changed(volumes_ml={"a": "b"}),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_what_is_incomplete_or_harmed_is_not_kept(tmp_path, spoil):
    target = written(tmp_path)
    spoil(target)
    assert find_earlier_result(target, SETTINGS, "cd") is None


@pytest.mark.parametrize(
    ("settings", "scan"),
    [
        ({**SETTINGS, "backend": "openvino"}, "cd"),
        ({**SETTINGS, "series": "1.2"}, "cd"),
        ({"backend": "eager"}, "cd"),
        (SETTINGS, "another scan"),
    ],
)
def test_what_was_made_otherwise_is_not_kept(tmp_path, settings, scan):
    assert find_earlier_result(written(tmp_path), settings, scan) is None


def test_until_a_label_map_is_whole_its_manifest_vouches_for_nothing(tmp_path):
    target = written(tmp_path)
    with manifest_started(target, Path("/scans/a.nii.gz")):
        assert find_earlier_result(target, SETTINGS, "cd") is None
        check_replaceable(target, Path("/scans/a.nii.gz"))
        assert find_images_but(tmp_path) == []  # a run that is killed here leaves no new scan


def find_images_but(folder):
    """The files of a folder that a later run would take for scans."""
    (folder / "scan.nii").touch()
    return [path for path in find_images(folder) if not path.endswith("scan.nii")]


@pytest.mark.parametrize(
    ("beside", "goes"),
    [
        ("a_attention_1.nii.gz", True),
        ("a_entropy.nii.gz", True),
        ("a_seg.dcm", True),  # the earlier labels, which a viewer would show as this run's
        ("b_seg.dcm", False),  # not these labels', whatever the manifest says
        ("a.nii.gz", False),
    ],
)
def test_what_shows_earlier_labels_goes_with_their_manifest(tmp_path, beside, goes):
    target = written(tmp_path, beside=beside)
    with manifest_started(target, SCAN.path):
        assert (tmp_path / beside).exists() is not goes
    assert target.read_bytes() == b"labels"


def test_what_the_manifest_does_not_vouch_for_stays(tmp_path):
    target = written(tmp_path)
    (tmp_path / "a_attention_1.nii.gz").write_bytes(b"put there by its user")
    (tmp_path / "a_entropy.nii.gz").write_bytes(b"in no manifest")
    with manifest_started(target, SCAN.path):
        assert len(list(tmp_path.glob("a_*.nii.gz"))) == 3


def test_an_error_before_there_are_labels_leaves_no_manifest(tmp_path):
    target = tmp_path / "a_seg.nii.gz"

    def fail():
        with manifest_started(target, Path("/scans/a.nii.gz")):
            raise ValueError("disk full")

    with pytest.raises(ValueError, match="disk full"):
        fail()
    assert list(tmp_path.iterdir()) == []
    target.write_bytes(b"older labels")
    with pytest.raises(ValueError, match="disk full"):
        fail()
    assert manifest_path(target).exists(), "or they would pass for a scan"
