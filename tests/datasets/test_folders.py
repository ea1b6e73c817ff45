from pathlib import Path

from dicoms import series
from monai_attn.datasets.folders import by_name, holds_scans, label_maps_in, scans_in
from scans import fails, touch


def names(paths):
    return [path.name for path in paths]


def test_what_was_made_here_is_no_scan(tmp_path):
    """A folder can be segmented into itself, and that again."""
    touch(tmp_path, "a.nii.gz", "a_seg.nii.gz", "a_seg.manifest.json", "a_attention_1.nii.gz")
    touch(tmp_path, "b_seg.nii.gz", "b_attention_1.nii.gz", ".c.nii.gz")
    assert names(scans_in(tmp_path)) == ["a.nii.gz", "b_attention_1.nii.gz", "b_seg.nii.gz"]


def test_attention_beside_labels_of_any_name_is_no_scan(tmp_path):
    touch(tmp_path, "a.nii", "labels.nii", "labels.manifest.json", "labels_attention_1.nii")
    assert names(scans_in(tmp_path)) == ["a.nii"]


def test_a_folder_of_both_kinds_gives_both(tmp_path):
    """A stray file among the folders of patients must not hide them."""
    touch(tmp_path, "a.nii", "notes/readme.txt", "patient/notes.txt")
    series(tmp_path / "patient")
    assert names(scans_in(tmp_path)) == ["a.nii", "patient"]


def test_a_folder_of_dicom_segs_is_no_scan(tmp_path):
    series(tmp_path / "labels", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    touch(tmp_path, "a.nii")
    assert names(scans_in(tmp_path)) == ["a.nii"]


def test_a_pair_of_files_is_one_scan(tmp_path):
    touch(tmp_path, "a.hdr", "a.img", "B.HDR", "B.IMG", "alone.img")
    assert names(scans_in(tmp_path)) == ["B.HDR", "a.hdr", "alone.img"]


def test_a_link_to_nothing_is_a_scan_that_fails_and_not_one_that_is_lost(tmp_path):
    (tmp_path / "a.nii").symlink_to(tmp_path / "gone.nii")
    assert names(scans_in(tmp_path)) == ["a.nii"]


def test_label_maps_are_files_of_nifti_and_not_hidden(tmp_path):
    touch(tmp_path, "b.nii", "a.nii.gz", "a_seg.manifest.json", "._a.nii.gz", "c.img", "d.nii/e")
    assert names(label_maps_in(tmp_path)) == ["a.nii.gz", "b.nii"]


def test_a_folder_without_what_is_wanted(tmp_path):
    touch(tmp_path, "notes.txt", "._a.nii.gz")
    fails(f"{tmp_path}: no scan among 1 entries (expected files in NIfTI", scans_in, tmp_path)
    fails(f"{tmp_path}: no label map among 1 entries (expected files in", label_maps_in, tmp_path)
    assert not holds_scans(tmp_path)
    assert not holds_scans(tmp_path / "nowhere")
    assert holds_scans(touch(tmp_path, "a.nii"))


def test_the_first_file_of_a_name_stands_for_it_and_each_other_is_a_fault():
    a, b, c = (Path(name) for name in ("a.nii", "a.nii.gz", "a_seg.nii"))
    by_case, faults = by_name({a: "a", b: "a", c: "a", Path("d.nii"): "d"})
    assert by_case == {"a": a, "d": Path("d.nii")}
    assert [fault.split(": ")[0] for fault in faults] == [f"{a} and {b}", f"{a} and {c}"]
