"""Scans in a folder tree, and what is none."""

import pytest

from dicoms import series
from monai_attn.datasets.trees import scans_below
from monai_attn.io.errors import ScanWarning
from scans import fails, touch


def found(root, series=None):
    return [str(scan.path.relative_to(root)) for scan in scans_below(root, series)]


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


def pacs(root):
    """An export of two patients: a localizer, two phases, a report; and a study in one folder."""
    one = {"PatientID": "P1", "StudyInstanceUID": "1.1"}
    localizer = {"SeriesInstanceUID": "1.1.1", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    (root / "P1" / "ST").mkdir(parents=True)
    series(root / "P1" / "ST" / "S1", **one, **localizer)
    for number in (2, 3):
        uid = {"SeriesInstanceUID": f"1.1.{number}", "SeriesNumber": number}
        series(root / "P1" / "ST" / f"S{number}", **one, **uid)
    series(root / "P1" / "ST" / "S4", **one, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22")
    for patient in ("P2", "P3"):
        files = [f"{patient}_{slice_}" for slice_ in range(3)]
        uids = {"StudyInstanceUID": f"1.{patient[1]}", "SeriesInstanceUID": f"1.{patient[1]}.1"}
        series(root / "flat", names=files, PatientID=patient, SeriesNumber=1, **uids)
    return root


def test_one_series_of_each_study_is_listed(tmp_path):
    with pytest.warns(ScanWarning, match=r"S3 \(series 3, .*chosen; left out: S1 .*localizer.*S2 "):
        listed = found(pacs(tmp_path))
    assert listed == ["P1/ST/S3", "flat/1.2.1", "flat/1.3.1"]


def test_all_series_or_one_are_listed_on_demand(tmp_path):
    pacs(tmp_path)
    scans = ["P1/ST/S2", "P1/ST/S3", "flat/1.2.1", "flat/1.3.1"]
    assert found(tmp_path, "all") == scans
    assert found(tmp_path, "1.1.1") == ["P1/ST/S1"]
    assert found(tmp_path, "1.3.1") == ["flat/1.3.1"]
    fails(f"{tmp_path}: no series 1.9 (got 1.1.1, 1.1.2,", scans_below, tmp_path, "1.9")


def test_a_folder_with_a_broken_file_is_listed_to_be_refused_by_name(tmp_path):
    pacs(tmp_path)
    (tmp_path / "flat" / "P2_1").write_bytes((tmp_path / "flat" / "P2_1").read_bytes()[:600])
    assert found(tmp_path, "all") == ["P1/ST/S2", "P1/ST/S3", "flat"]


def test_what_lies_alone_is_listed_whatever_it_is(tmp_path):
    localizer = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    series(tmp_path / "a", **localizer)
    assert found(tmp_path) == ["a"]


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
