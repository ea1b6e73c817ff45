"""Names of cases: the file's, or the part of the path that differs."""

from pathlib import Path

import pytest

from monai_attn.datasets.scan_names import name_of_result, scan_names

# scans, the folder of the tree or None, their names
NAMES = {
    "files of their own names": (["x/a.nii.gz", "y/b.nii"], None, ["a", "b"]),
    "the same scan in its folder": (["ts/s1/ct.nii", "ts/s2/ct.nii"], None, ["s1", "s2"]),
    "the file varies too": (
        ["s1/ct.nii", "s2/ct.nii", "s2/mr.nii"],
        None,
        ["s1_ct", "s2_ct", "s2_mr"],
    ),
    "a folder": (["t/b.nii", "t/a.nii.gz"], "t", ["b", "a"]),
    "the folder itself, of DICOM": (["t"], "t", ["t"]),
    "a tree": (["t/s1/ct.nii", "t/s2/ct.nii"], "t", ["s1", "s2"]),
    "a tree of one scan": (["t/s1/ct.nii"], "t", ["s1_ct"]),
    "PATIENT/STUDY/SERIES": (["t/P1/S/3", "t/P2/S/3"], "t", ["P1", "P2"]),
    "series of one name by chance": (["t/P1/S/3", "t/P2/S/4"], "t", ["P1_3", "P2_4"]),
    "several series": (["t/P1/S/3", "t/P1/S/4", "t/P2/S/3"], "t", ["P1_3", "P1_4", "P2_3"]),
    "of several depths": (["t/s1/ct.nii", "t/site/s2/ct.nii"], "t", ["s1", "site_s2"]),
    "a file beside folders": (["t/ct.nii", "t/old/ct.nii"], "t", ["ct", "old_ct"]),
    "only the suffix differs": (["ct.nii", "ct.nii.gz"], None, None),
    "joined to one name": (["t/a_b/c.nii", "t/a/b_c.nii"], "t", ["a_b_c_02d730", "a_b_c_ab14be"]),
}


@pytest.mark.parametrize(("scans", "root", "expected"), NAMES.values(), ids=NAMES.keys())
def test_names(scans, root, expected):
    scans = [Path(scan) for scan in scans]
    names = scan_names(scans, Path(root) if root else None)
    assert list(names) == scans
    if expected is None:
        assert len(set(names.values())) == 1
    else:
        assert [*names.values()] == expected


def test_names_do_not_depend_on_the_order_or_on_the_way_to_the_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    relative = [Path("s1/ct.nii"), Path("s2/ct.nii")]
    absolute = [tmp_path / scan for scan in relative]
    names = [*scan_names(relative).values()]
    assert [*scan_names(absolute).values()] == names
    assert [*scan_names([absolute[1], relative[0]]).values()] == names[::-1]


# scan, label map, the name of the case
RESULTS = {
    "after the folder": ("d/s1/ct.nii", "o/s1_seg.nii.gz", "s1"),
    "after folder and file": ("d/s1/ct.nii", "o/s1_ct_seg.nii.gz", "s1_ct"),
    "after the file": ("d/a.nii", "o/a_seg.nii.gz", "a"),
    "a label map of any name": ("d/a.nii", "o/mine.nii.gz", "a"),
}


@pytest.mark.parametrize(("scan", "target", "expected"), RESULTS.values(), ids=RESULTS.keys())
def test_the_name_of_a_case_is_found_in_its_label_map(scan, target, expected):
    assert name_of_result(Path(scan), Path(target)) == expected
