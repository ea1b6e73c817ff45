import pytest

from dicoms import series
from monai_attn.datasets.groups import group_by_name, groups_of
from monai_attn.datasets.listed_splits import given_split
from monai_attn.datasets.splits import split_cases
from scans import datalist, fails, faults, touch


def named(*names):
    return [{"image": f"in/{name}.nii.gz", "label": f"of/{name}.nii.gz"} for name in names]


# --- by the names

# the pattern, names, their groups
PATTERNS = [
    (r"^(p\d+)_", ["p01_t1", "p01_t2", "p02_t1"], ["p01", "p01", "p02"]),
    (r"^p\d+", ["p01_t1", "p02_t1"], ["p01", "p02"]),  # no capture group: the whole match
    (r"(\d+)_z(\d+)", ["a_7_z1", "b_7_z2"], ["7", "7"]),  # the first, wherever it matches
    (r"^(.+)_\d", ["a_0000", "b_0000"], None),  # without the number of nnU-Net's channel
    (r"^(.+)_\d", ["a_0000", "b_0001"], ["a", "b"]),
    (r"(.+)", ["p01_t1", "p01_t2"], ["p01_t1", "p01_t2"]),
]


@pytest.mark.parametrize(("pattern", "names", "expected"), PATTERNS)
def test_a_pattern_names_the_patient(pattern, names, expected):
    if expected is None:
        fails("finds no patient in the name a (2 of 2", group_by_name, named(*names), pattern)
    else:
        grouped = group_by_name(named(*names), pattern)
        assert groups_of(grouped) == expected
        assert [case["image"] for case in grouped] == [case["image"] for case in named(*names)]


# the pattern, the fault
BAD_PATTERNS = [
    ("(p", "group pattern (p: not a regular expression (missing ), unterminated subpattern"),
    (
        "^(p[0-9]+)",
        "in/q1.nii.gz: group pattern ^(p[0-9]+) finds no patient in the name q1 (2 of 3 cases",
    ),
    ("p?", "in/q1.nii.gz: group pattern p? finds no patient in the name q1 (2 of 3 cases"),
    ("(p)?.", "in/q1.nii.gz: group pattern (p)?. finds no patient in the name q1 (2 of 3 cases"),
    ("", "in/p1.nii.gz: group pattern  finds no patient in the name p1 (3 of 3 cases"),
]


@pytest.mark.parametrize(("pattern", "fault"), BAD_PATTERNS)
def test_a_pattern_that_does_not_find_every_patient(pattern, fault):
    fails(fault, group_by_name, named("p1", "q1", "q2"), pattern)


@pytest.mark.parametrize("key", ["group", "patient"])
def test_a_datalist_and_a_pattern_do_not_both_say_who_is_who(key):
    cases = [{**case, key: "x"} for case in named("a", "b")]
    fails("in/a.nii.gz: has a group in its datalist, and the group", group_by_name, cases, "(.)")


# --- by the PatientID of DICOM


def dicom_cases(folder, *patients):
    """A series for each PatientID."""
    for k, patient in enumerate(patients):
        (folder / f"s{k}").mkdir()
        series(folder / f"s{k}", PatientID=patient)
    touch(folder, *(f"l{k}.nii" for k in range(len(patients))))
    return [
        {"image": str(folder / f"s{k}"), "label": str(folder / f"l{k}.nii")}
        for k in range(len(patients))
    ]


# PatientIDs (None: without the tag), which cases are of one patient
IDS = [
    (["SECRET 1", "SECRET 2", "SECRET 1"], [0, 1, 0]),
    (["SECRET 1", "SECRET 1 ", "1"], [0, 0, 1]),  # DICOM pads texts
    (["SECRET 1", "", None, "SECRET 1"], [0, 1, 2, 0]),  # unknown: each its own
    (["", None], None),
]


@pytest.mark.parametrize(("patients", "expected"), IDS)
def test_dicom_says_whose_scan_it_is_and_the_id_is_not_kept(tmp_path, patients, expected):
    groups = groups_of(dicom_cases(tmp_path, *patients))
    if expected is None:
        assert groups is None
    else:
        first = [groups.index(group) for group in groups]
        assert [sorted(set(first)).index(place) for place in first] == expected
        assert "SECRET" not in " ".join(groups)


def test_a_file_among_dicom_folders_is_a_patient_of_its_own(tmp_path):
    cases = [*dicom_cases(tmp_path, "A", "A"), *named("a", "b")]
    first, second, *others = groups_of(cases)
    assert first == second
    assert len({first, *others}) == 3


def test_a_dicom_patient_is_on_one_side(tmp_path):
    cases = dicom_cases(tmp_path, "SECRET", "SECRET", "X", "X")
    split = split_cases(cases, validation=0.5)
    assert split["validation"] in (cases[:2], cases[2:])
    sections = {"training": cases[:3], "validation": cases[3:]}
    (line,) = faults(given_split, datalist(tmp_path, sections))
    assert "s2 (training), s3 (validation) " in line
    given_split(tmp_path, group="(.+)")  # says that each is a patient


def test_one_id_for_all_is_refused_and_what_to_do_is_said(tmp_path):
    cases = dicom_cases(tmp_path, "SECRET", "SECRET")
    fails("s0: all 2 cases are of one patient ", split_cases, cases)
    assert split_cases(group_by_name(cases, "(.+)"))


def test_a_datalist_goes_before_dicom(tmp_path):
    cases = [{**case, "group": str(k)} for k, case in enumerate(dicom_cases(tmp_path, "A", "A"))]
    assert groups_of(cases) == ["0", "1"]


def test_a_slice_that_cannot_be_read_is_left_to_the_check_of_its_voxels(tmp_path):
    cases = dicom_cases(tmp_path, "A", "A")
    (tmp_path / "s0" / "0.dcm").write_bytes((tmp_path / "s0" / "0.dcm").read_bytes()[:400])
    assert len(set(groups_of(cases))) == 2
