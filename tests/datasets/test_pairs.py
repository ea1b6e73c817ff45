import pytest

from monai_attn.datasets.pairs import pair_cases, references_of
from monai_attn.io.errors import OptionError, ScanWarning
from scans import fails, faults, touch

# the prediction's file name, the reference's, the case
NAMES = [
    ("a.nii.gz", "a.nii.gz", "a"),
    ("a_seg.nii.gz", "a.nii.gz", "a"),
    ("a_seg.nii", "a.nii.gz", "a"),
    ("a_seg.NII.GZ", "a.nii.gz", "a"),
    ("a_seg.nii.gz", "a_seg.nii.gz", "a_seg"),
    ("a_seg_seg.nii.gz", "a_seg.nii.gz", "a_seg"),
    ("v1.2_seg.nii.gz", "v1.2.nii", "v1.2"),
    ("a_0000_seg.nii.gz", "a.nii.gz", "a"),
    ("a_0000_seg.nii.gz", "a_0000.nii.gz", "a_0000"),
]


@pytest.mark.parametrize(("prediction", "reference", "case"), NAMES)
def test_folders_pair_by_case_name(tmp_path, prediction, reference, case):
    out = touch(tmp_path / "out", prediction, "z.nii.gz", "scores.json", "._z.nii.gz")
    labels = touch(tmp_path / "labels", reference, "z.nii.gz", "deeper/b.nii")
    assert pair_cases(str(out), labels) == [
        (case, out / prediction, labels / reference),
        ("z", out / "z.nii.gz", labels / "z.nii.gz"),
    ]


def test_attention_beside_a_label_map_is_no_prediction(tmp_path):
    touch(tmp_path, "out/a_seg.nii.gz", "out/a_attention_1.nii.gz", "labels/a.nii.gz")
    (pair,) = pair_cases(tmp_path / "out", tmp_path / "labels")
    assert pair[0] == "a"
    touch(tmp_path, "labels/a_attention_1.nii.gz")
    assert len(pair_cases(tmp_path / "out", tmp_path / "labels")) == 2


def test_two_files_pair_whatever_their_names(tmp_path):
    touch(tmp_path, "out.nii", "case_7.nii.gz")
    pair = tmp_path / "out.nii", tmp_path / "case_7.nii.gz"
    assert pair_cases(*pair) == [("case_7", *pair)]


# prediction, reference, what the one line says; {0} is the folder of both
BAD_PATHS = [
    ("nowhere", "labels", "{0}/nowhere: no such file or folder (expected a NIfTI label map"),
    ("out", "nowhere.nii", "{0}/nowhere.nii: no such file or folder"),
    (
        "out",
        "labels/a.nii",
        "{0}/out: a folder, but {0}/labels/a.nii is a file (expected two files or",
    ),
    (
        "labels/a.nii",
        "out",
        "{0}/labels/a.nii: a file, but {0}/out is a folder (expected two files or",
    ),
    ("empty", "labels", "{0}/empty: no label map among 1 entries (expected files in NIfTI"),
    (
        "out",
        "labels",
        "{0}/out and {0}/labels: without reference: {0}/out/b.nii; "
        "without prediction: {0}/labels/c.nii, {0}/labels/d.nii (expected one prediction per",
    ),
    ("labels", "twice", "{0}/twice/a.nii and {0}/twice/a.nii.gz: both are case a (expected one"),
    ("seg", "b", "{0}/seg/b.nii and {0}/seg/b_seg.nii: both are case b (expected one file"),
    ("scan.mnc", "labels/a.nii", "{0}/scan.mnc: a scan in NIfTI (.nii.gz or .nii), NRRD"),
    ("labels/a.nii", "scan.mnc", "{0}/scan.mnc: a scan in NIfTI (.nii.gz or .nii), NRRD"),
]


@pytest.mark.parametrize(("prediction", "reference", "message"), BAD_PATHS)
def test_paths_that_do_not_pair(tmp_path, prediction, reference, message):
    touch(tmp_path, "out/a_seg.nii", "out/b.nii", "labels/a.nii", "labels/c.nii", "labels/d.nii")
    touch(tmp_path, "twice/a.nii", "twice/a.nii.gz", "empty/notes.txt", "scan.mnc")
    touch(tmp_path, "seg/b.nii", "seg/b_seg.nii", "b/b.nii")
    fails(message.format(tmp_path), pair_cases, tmp_path / prediction, tmp_path / reference)


def test_each_name_that_is_there_twice_is_listed(tmp_path):
    touch(tmp_path, "out/a.nii", "out/a_seg.nii", "out/b.nii", "out/b_seg.nii")
    touch(tmp_path, "labels/c.nii", "labels/c.nii.gz")
    lines = faults(pair_cases, tmp_path / "out", tmp_path / "labels")
    assert [line.split(": ")[1] for line in lines] == [
        f"both are case {n} (expected one file per case). Rename or remove one of them."
        for n in "cab"
    ]


def test_each_scan_finds_its_reference_among_more(tmp_path):
    labels = touch(tmp_path / "labels", "a.nii.gz", "b_seg.nii", "b_attention_1.nii", "c.nii.gz")
    scans = [tmp_path / name for name in ("b.nii.gz", "a_0000.nii.gz", "c")]
    assert references_of(scans, labels) == {
        scans[0]: labels / "b_seg.nii",
        scans[1]: labels / "a.nii.gz",
        scans[2]: labels / "c.nii.gz",
    }


def test_the_reference_of_one_scan_may_be_a_file(tmp_path):
    label = touch(tmp_path, "other.nii.gz") / "other.nii.gz"
    scans = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    assert references_of(scans[:1], label) == {scans[0]: label}
    fails(f"{label}: one file for 2 scans ", references_of, scans, label)
    gone = tmp_path / "gone.nii.gz"
    fails(f"{gone}: no such file ", references_of, scans[:1], gone)


def test_a_scan_without_a_reference_is_named(tmp_path):
    labels = touch(tmp_path / "labels", "a.nii.gz")
    scans = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    fails(f"{labels}: no reference for {scans[1]} ", references_of, scans, labels)
    touch(labels, "a_seg.nii")
    assert len(faults(references_of, scans[:1], labels)) == 1


def test_references_without_a_prediction_are_left_out_if_asked_and_counted(tmp_path):
    touch(tmp_path, "out/a.nii", *(f"labels/{name}.nii" for name in "abc"))
    out, labels = tmp_path / "out", tmp_path / "labels"
    with pytest.raises(OptionError, match=r"without prediction: .*b\.nii, .*c\.nii") as refused:
        pair_cases(out, labels)
    assert refused.value.remedy == "partial"
    with pytest.warns(ScanWarning, match=r"no prediction for 2 of 3 references") as said:
        assert pair_cases(out, labels, partial=True) == [("a", out / "a.nii", labels / "a.nii")]
    assert "b.nii" in str(said[0].message)


def test_a_prediction_without_a_reference_is_refused_all_the_same(tmp_path):
    touch(tmp_path, "out/a.nii", "out/z.nii", "labels/a.nii", "labels/b.nii")
    fails("without reference: ", pair_cases, tmp_path / "out", tmp_path / "labels", partial=True)


def test_no_pair_is_no_part(tmp_path):
    touch(tmp_path, "out/notes.txt", "labels/a.nii")
    fails("out: no", pair_cases, tmp_path / "out", tmp_path / "labels", partial=True)
