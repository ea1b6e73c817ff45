"""Splits that a datalist holds, or that a training wrote."""

import json

import pytest

from monai_attn.datasets.listed_splits import given_split, read_split, write_split
from monai_attn.datasets.splits import choose_split, split_cases
from monai_attn.io.errors import ScanWarning
from scans import datalist, fails, faults
from tests.datasets.named_cases import images_of, named_cases, numbered_cases, touch_cases


def test_a_split_that_was_written_is_read_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(touch_cases(tmp_path, "00", "01", "02", "03", "04"))
    split = split_cases(numbered_cases(5))
    path = write_split("runs/a/split.json", split)
    monkeypatch.chdir("/")
    assert read_split(tmp_path / path) == {
        part: [{key: f"{tmp_path}/{name}" for key, name in case.items()} for case in group]
        for part, group in split.items()
    }
    assert set(json.loads((tmp_path / path).read_text())) == {"training", "validation"}


def test_a_data_set_may_come_with_its_split(tmp_path):
    content = {"training": named_cases("a", "b"), "validation": named_cases("c"), "test": ["d.nii"]}
    datalist(touch_cases(tmp_path, "a", "b", "c"), content)
    split = given_split(tmp_path)
    assert [images_of(split[part]) for part in ("training", "validation")] == [
        [f"{tmp_path}/a.nii", f"{tmp_path}/b.nii"],
        [f"{tmp_path}/c.nii"],
    ]


NO_SPLIT = {
    "one section": {"training": named_cases("a", "b")},
    "an empty section": {"training": named_cases("a"), "validation": []},
    "validation without labels": {"training": named_cases("a"), "validation": ["b.nii"]},
    "a list": named_cases("a", "b"),
}


@pytest.mark.parametrize("content", NO_SPLIT.values(), ids=NO_SPLIT.keys())
def test_a_datalist_that_gives_no_split(tmp_path, content):
    path = datalist(touch_cases(tmp_path, "a", "b"), content, "list.json")
    assert given_split(path) is None
    fails(
        f"{path}: no split (expected labelled cases in training and in validation)",
        read_split,
        path,
    )


def test_cases_that_all_validate_are_not_split_anew(tmp_path):
    content = {"training": [], "validation": [{"image": "a.nii", "label": "a_label.nii"}]}
    with pytest.raises(ValueError, match=r"list\.json: all labelled cases are in validation"):
        given_split(datalist(tmp_path, content, "list.json"))


def test_folders_give_no_split_and_what_is_not_there_is_named(tmp_path):
    assert given_split(touch_cases(tmp_path, "images/a", "labels/a")) is None
    assert given_split(tmp_path / "images") is None
    for call in (given_split, read_split):
        fails(f"{tmp_path}/a.json: does not exist (expected a datalist", call, tmp_path / "a.json")


def test_a_case_in_both_parts_is_refused_under_whatever_name(tmp_path):
    touch_cases(tmp_path, "a", "b", "c")
    (tmp_path / "link.nii").symlink_to(tmp_path / "b.nii")
    linked = {"image": "link.nii", "label": "c_seg.nii"}
    content = {"training": named_cases("a", "b"), "validation": [*named_cases("a"), linked]}
    lines = faults(given_split, datalist(tmp_path, content, "list.json"))
    assert [line.split(": ")[0] for line in lines] == [f"{tmp_path}/a.nii", f"{tmp_path}/b.nii"]
    assert "is in training and in validation of " in lines[0]


def test_files_that_a_split_names_must_be_there(tmp_path):
    content = {"training": named_cases("a"), "validation": [*named_cases("b"), "c.nii"]}
    lines = faults(given_split, datalist(touch_cases(tmp_path, "a"), content, "list.json"))
    assert len(lines) == 4  # no label for c, and three files


def test_a_patient_in_both_parts_is_refused(tmp_path):
    training, validation = named_cases("a", "b", "c"), named_cases("d", "e")
    for case, patient in zip(training + validation, (1, 2, 1, 1, 3), strict=True):
        case["patient"] = patient
    content = {"training": training, "validation": validation}
    path = datalist(touch_cases(tmp_path, *"abcde"), content, "list.json")
    for call in (given_split, choose_split):
        (line,) = faults(call, path)
        assert line.startswith(
            f"{tmp_path}/a.nii: cases of one patient on both sides of the split: "
        )
        assert "a (training), c (training), d (validation) " in line


def test_a_given_split_whose_names_look_alike_across_it_is_warned_about(tmp_path):
    names = ("p1_t1", "p1_t2", "p2_t1", "p2_t2")
    touch_cases(tmp_path, *names)
    apart = {"training": named_cases(*names[:2]), "validation": named_cases(*names[2:])}
    given_split(datalist(tmp_path, apart, "apart.json"))  # without a warning
    across = {"training": named_cases(*names[:3]), "validation": named_cases(*names[3:])}
    path = datalist(tmp_path, across, "across.json")
    with pytest.warns(ScanWarning, match="p2_t1 and p2_t2 look like scans of one patient"):
        given_split(path)
    (line,) = faults(given_split, path, group=r"^(p\d)")
    assert "p2_t1 (training), p2_t2 (validation)" in line


def test_folds_beside_a_section_validation_are_refused(tmp_path):
    training = [{**case, "fold": k} for k, case in enumerate(named_cases("a", "b"))]
    content = {"training": training, "validation": named_cases("c")}
    path = datalist(touch_cases(tmp_path, *"abc"), content, "list.json")
    fails(f"{path}: has folds and a section validation (expected one", given_split, path)


def test_a_written_split_has_the_files_only_and_is_read_whoever_the_patients_are(tmp_path):
    listed = [{**case, "patient": k % 2} for k, case in enumerate(named_cases(*"abcd"))]
    path = datalist(touch_cases(tmp_path, *"abcd"), {"training": listed})
    split = choose_split(path, validation=0.5)
    assert images_of(split["validation"]) in (
        [f"{tmp_path}/{name}.nii" for name in pair] for pair in ("ac", "bd")
    )
    assert read_split(write_split(tmp_path / "split.json", split)) == split
    assert "patient" not in (tmp_path / "split.json").read_text()
