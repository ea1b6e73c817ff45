"""Scans in a folder tree, and what is none."""

import pytest

from dicoms import series
from monai_attn.datasets.trees import scans_below
from scans import fails, touch


def found(root):
    return [str(path.relative_to(root)) for path in scans_below(root)]


# files of a tree, those that are scans
TREES = {
    "TotalSegmentator": (
        [
            "s1/ct.nii.gz",
            "s1/segmentations/liver.nii.gz",
            "s2/ct.nii.gz",
            "meta.csv",
            "s1/preview.png",
        ],
        ["s1/ct.nii.gz", "s2/ct.nii.gz"],
    ),
    "KiTS": (["c1/imaging.nii.gz", "c1/segmentation.nii.gz"], ["c1/imaging.nii.gz"]),
    "LiTS": (["b/volume-0.nii", "b/segmentation-0.nii"], ["b/volume-0.nii"]),
    "labels beside their scan": (["a.nii", "a_seg.nii", "b_seg.nii"], ["a.nii", "b_seg.nii"]),
    "only label maps by name": (["p1/seg.nii", "p2/seg.nii"], ["p1/seg.nii", "p2/seg.nii"]),
    "a data set below": (["T7/imagesTr/a.nii", "T7/labelsTr/a.nii"], ["T7/imagesTr/a.nii"]),
    "own results": (
        ["a.nii", "out/a_seg.nii.gz", "out/a_seg.manifest.json", "out/a_attention_1.nii.gz"],
        ["a.nii"],
    ),
    "hidden": (["a.nii", ".b/a.nii", "__MACOSX/a.nii", "c/._a.nii"], ["a.nii"]),
    "a folder called as the user likes": (["old/b.nii", "a.nii"], ["a.nii", "old/b.nii"]),
}


@pytest.mark.parametrize(("files", "scans"), TREES.values(), ids=TREES.keys())
def test_scans_in_a_tree(tmp_path, files, scans):
    touch(tmp_path, *files)
    assert found(tmp_path) == scans


def test_a_folder_of_label_maps_is_taken_where_it_is_given(tmp_path):
    touch(tmp_path, "labelsTr/a.nii")
    assert found(tmp_path / "labelsTr") == ["a.nii"]


def test_dicom_series_lie_at_any_depth(tmp_path):
    for folder in ("PAT1", "PAT2/STUDY/SER3", "PAT2/STUDY/SER4"):
        (tmp_path / folder).mkdir(parents=True)
        series(tmp_path / folder)
    assert found(tmp_path) == ["PAT1", "PAT2/STUDY/SER3", "PAT2/STUDY/SER4"]


@pytest.mark.parametrize("kind", ["88.22", "481.3", "66.4"])  # a report, structures, labels
def test_reports_and_structures_are_no_scans(tmp_path, kind):
    series(tmp_path / "a")
    series(tmp_path / "b", SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{kind}")
    assert found(tmp_path) == ["a"]


def test_a_folder_that_links_lead_to_twice_is_one(tmp_path):
    touch(tmp_path, "a/ct.nii")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    assert found(tmp_path) in (["a/ct.nii"], ["b/ct.nii"])


def test_a_tree_without_scans_says_so(tmp_path):
    touch(tmp_path, "a/notes.txt")
    fails(f"{tmp_path}: no scan among 1 entries (expected", scans_below, tmp_path)
