"""A result never replaces a file of a user, nor the result of another scan."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_attn.io.files import sha256_of
from monai_attn.io.names import attention_path, manifest_path
from monai_attn.runs.replaceable import check_replaceable
from scans import fails, touch


def result(folder, made_from, **changes):
    """An earlier result of a scan."""
    touch(folder, "out/ct_seg.nii.gz")
    target = folder / "out" / "ct_seg.nii.gz"
    files = {target.name: sha256_of(target)}
    content = {"scan": str(made_from), "files_sha256": files, **changes}
    manifest_path(target).write_text(json.dumps(content))
    return target


@pytest.fixture
def scans(tmp_path):
    """Two scans of one name."""
    touch(tmp_path, "one/ct.nii.gz", "two/ct.nii.gz")
    return tmp_path / "one" / "ct.nii.gz", tmp_path / "two" / "ct.nii.gz"


def test_a_result_of_the_same_scan_is_replaced(tmp_path, scans):
    (tmp_path / "link").symlink_to(tmp_path / "one")
    check_replaceable(result(tmp_path, scans[0]), scans[0])
    check_replaceable(result(tmp_path, scans[0]), tmp_path / "link" / "ct.nii.gz")


def test_a_result_of_another_scan_is_not(tmp_path, scans):
    target = result(tmp_path, scans[0])
    fails(f"{target}: holds the labels of {scans[0]}, which", check_replaceable, target, scans[1])


def test_a_label_map_of_another_suffix_keeps_its_manifest(tmp_path, scans):
    kept = result(tmp_path, scans[0])
    target = kept.with_name("ct_seg.nii")
    fails(f"is the manifest of {kept}, and would be replaced", check_replaceable, target, scans[0])
    kept.unlink()
    check_replaceable(target, scans[0])


def test_a_label_map_that_no_run_made_is_not_lost(tmp_path, scans):
    touch(tmp_path, "out/ct_seg.nii.gz")  # drawn by hand: its name is a common one
    target = tmp_path / "out" / "ct_seg.nii.gz"
    fails(f"{target}: is not a result of an earlier run", check_replaceable, target, scans[0])


@pytest.mark.parametrize("manifest", [True, False], ids=["of a run", "none"])
def test_a_map_that_no_run_made_is_not_lost(tmp_path, scans, manifest):
    target = result(tmp_path, scans[0])
    if not manifest:
        target.unlink()
        manifest_path(target).unlink()
    drawn = attention_path(target, 1)
    drawn.touch()
    check_replaceable(target, scans[0])
    fails(f"{drawn}: is not a result", check_replaceable, target, scans[0], [drawn])


def test_labels_that_were_corrected_by_hand_are_not_lost(tmp_path, scans):
    target = result(tmp_path, scans[0])
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), target)
    fails(f"{target}: was changed since a run made it", check_replaceable, target, scans[0])


def test_labels_of_another_scan_in_memory_are_not_lost(tmp_path):
    target = result(tmp_path, "", scan_sha256="12")
    check_replaceable(target, Path("scan"), in_memory="12")
    fails(
        "holds the labels of another scan", check_replaceable, target, Path("scan"), in_memory="34"
    )


# a result without labels, of a scan in memory, of a scan that was moved since
FREE = {
    "begun": {"files_sha256": {}},
    "in memory": {"scan": ""},
    "moved": {"scan": "/gone/ct.nii.gz"},
}


@pytest.mark.parametrize("changes", FREE.values(), ids=FREE.keys())
def test_what_is_nobodys_is_replaced(tmp_path, scans, changes):
    check_replaceable(result(tmp_path, scans[0], **changes), scans[1])


@pytest.mark.parametrize("content", ["[]", "{}", "", "1", '["scan"]', '{"training": []}'])
def test_a_file_that_is_no_manifest_is_not_lost(tmp_path, scans, content):
    target = result(tmp_path, scans[0])
    manifest_path(target).write_text(content)
    fails(
        "manifest.json: not a manifest, so it is not replaced", check_replaceable, target, scans[0]
    )
