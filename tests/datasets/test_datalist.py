import json

import pytest

from monai_attn.datasets.datalist import check_listed, read_datalist
from scans import datalist, fails, faults, touch

# the datalist, the fault
BAD_DATALISTS = {
    "not JSON": ("{", "not readable as JSON (Expecting property name"),
    "not text": ("\udcff", "not readable as JSON ('utf-8'"),
    "a number": ("3", "no datalist (got 3, expected a list of cases"),
    "no section": (
        {"name": "Pancreas", "numTest": 3},
        "names no case (expected one or more in test, testing, ",
    ),
    "empty sections": ({"test": [], "training": []}, "names no case"),
    "empty list": ([], "names no case"),
    "section not a list": ({"test": "a.nii"}, "invalid section test (got 'a.nii', expected a list"),
    "entry without image": (
        [{"label": "a.nii"}],
        "an entry names no image (got {'label': 'a.nii'}, expected ",
    ),
    "image not a path": (
        [{"image": ["a.nii", 3]}],
        "an entry names no image (got {'image': ['a.nii', 3]}",
    ),
    "empty path": ([""], "an entry names no image (got ''"),
    "null": ([None], "an entry names no image (got None"),
    "a null byte": (["a\0.nii"], "an entry names no image (got 'a\\x00.nii'"),
}


@pytest.mark.parametrize(("content", "fault"), BAD_DATALISTS.values(), ids=BAD_DATALISTS.keys())
def test_datalists_that_cannot_be_used(tmp_path, content, fault):
    path = tmp_path / "dataset.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    fails(f"{path}: {fault}", read_datalist, tmp_path)


def test_a_datalist_that_is_not_there(tmp_path):
    fails(
        f"{tmp_path}/a.json: does not exist (expected a datalist",
        read_datalist,
        tmp_path / "a.json",
    )


def test_a_datalist_as_windows_writes_it(tmp_path):
    (tmp_path / "list.json").write_bytes(b'\xef\xbb\xbf["a.nii"]')
    assert read_datalist(tmp_path / "list.json") == {"test": [{"image": f"{tmp_path}/a.nii"}]}


def test_sections_come_best_first_and_paths_begin_at_the_datalist(tmp_path):
    content = {"training": [{"image": "./a.nii", "label": "l/a.nii"}], "test": ["/far/b.nii"]}
    sections = read_datalist(datalist(tmp_path, content, "mine.json"))
    assert sections == {
        "test": [{"image": "/far/b.nii"}],
        "training": [{"image": f"{tmp_path}/a.nii", "label": f"{tmp_path}/l/a.nii"}],
    }
    assert list(sections) == ["test", "training"]


# --- whose scan it is, and in which fold

# keys of an entry, what a case has of them
MEANINGS = [
    ({"fold": 0}, {"fold": "0"}),
    ({"fold": 3.0}, {"fold": "3"}),  # as a table without a whole column writes it
    ({"fold": None, "group": None}, {}),
    ({"group": "p01"}, {"group": "p01"}),
    ({"patient": 7, "fold": 1}, {"patient": "7", "fold": "1"}),
    ({"group": "p01", "patient_id": "x", "folds": None, "fold": 2}, {"group": "p01", "fold": "2"}),
]


@pytest.mark.parametrize(("keys", "expected"), MEANINGS)
def test_groups_and_folds_of_an_entry_are_kept(tmp_path, keys, expected):
    path = datalist(tmp_path, [{"image": "a.nii", **keys}])
    assert read_datalist(path)["test"] == [{"image": f"{tmp_path}/a.nii", **expected}]


OTHERS = [
    "centre",
    "age",
    "patient_age",
    "inpatient",
    "folder",
    "id",
    "valid",
    "image2",
    "PatientName",
]


@pytest.mark.parametrize("key", OTHERS)
def test_other_keys_do_not_matter(tmp_path, key):
    path = datalist(tmp_path, [{"image": "a.nii", key: 1}])
    assert read_datalist(path)["test"] == [{"image": f"{tmp_path}/a.nii"}]


# a key, the one it is taken for
MISSPELT = [
    *((key, "fold") for key in ("fold:", "Fold", "folds", " fold", "fold_id", "FOLD0", "flod")),
    *((key, "group") for key in ("groups", "Group", "group_id", "gruop", "grop")),
    *((key, "patient") for key in ("patient_id", "PatientID", "patients", "patinet", "subject")),
]


@pytest.mark.parametrize(("key", "meant"), MISSPELT)
def test_a_misspelt_key_is_not_ignored(tmp_path, key, meant):
    path = datalist(tmp_path, {"training": ["b.nii", {"image": "a.nii", key: 1}]})
    fault = f"{path}: the entry of a.nii has an unknown key (got {key!r}, expected {meant!r})"
    fails(fault, read_datalist, path)


# keys of an entry, the fault
BAD_KEYS = [
    *(
        ({"fold": value}, f"has an invalid fold (got {value!r}, expected a whole number from 0)")
        for value in (-1, 0.5, "0", True, [0], float("nan"), float("inf"))
    ),
    ({"group": ""}, "has an invalid group (got an empty text, expected a text or a whole number)"),
    (
        {"patient": ["SECRET"]},
        "has an invalid patient (got list, expected a text or a whole number)",
    ),
    ({"group": True}, "has an invalid group (got bool,"),
    ({"group": "a", "patient": "b"}, "has a group and a patient (expected one of them)"),
]


@pytest.mark.parametrize(("keys", "fault"), BAD_KEYS, ids=str)
def test_groups_and_folds_that_cannot_be_meant(tmp_path, keys, fault):
    path = datalist(tmp_path, [{"image": "a.nii", **keys}])
    fails(f"{path}: the entry of a.nii {fault}", read_datalist, path)


# a section, the one it is taken for
SECTIONS = [("val", "validation"), ("Validation", "validation"), ("valid", "validation")]
SECTIONS += [("train", "training"), ("Training", "training"), ("tests", "test")]


@pytest.mark.parametrize(("name", "meant"), SECTIONS)
def test_a_misspelt_section_is_not_ignored(tmp_path, name, meant):
    path = datalist(tmp_path, {"testing": ["b.nii"], name: ["a.nii"]})
    fails(f"{path}: has an unknown section (got {name!r}, expected {meant!r})", read_datalist, path)


def test_what_else_a_datalist_holds_does_not_matter(tmp_path):
    said = {"numTraining": 1, "modality": {"0": "CT"}, "train": [], "va": ["b.nii"], "tags": ["x"]}
    path = datalist(tmp_path, {**said, "training": ["a.nii"]})
    assert read_datalist(path) == {"training": [{"image": f"{tmp_path}/a.nii"}]}


# --- check_listed


def case(image, label=None):
    return {"image": f"{image}.nii"} | ({"label": f"{label}.nii"} if label else {})


# the cases, what each line says; a.nii, b.nii, la.nii and lb.nii exist
LISTED = {
    "no label": ([case("a")], ["LIST: case a.nii has no label (expected one for each case)"]),
    "no files": (
        [case("gone", "la"), case("a", "lost")],
        ["gone.nii: does not exist, but LIST names it.", "lost.nii: does not exist, but LIST"],
    ),
    "one image twice": (
        [case("a", "la"), case("a", "lb")],
        ["a.nii: the image of 2 cases in LIST (expected 1), with the labels la.nii, lb.nii."],
    ),
    "one label twice": (
        [case("a", "la"), case("b", "la")],
        ["la.nii: the label of 2 cases in LIST (expected 1), with the images a.nii, b.nii."],
    ),
    "all at once": (
        [case("a"), case("b", "lost"), case("b", "lb")],
        [
            "LIST: case a.nii has no label",
            "lost.nii: does not exist",
            "b.nii: the image of 2 cases",
        ],
    ),
}


@pytest.mark.parametrize(("cases", "expected"), LISTED.values(), ids=LISTED.keys())
def test_all_faults_of_a_list_are_listed(tmp_path, monkeypatch, cases, expected):
    monkeypatch.chdir(touch(tmp_path, "a.nii", "b.nii", "la.nii", "lb.nii"))
    lines = [line.replace(f"{tmp_path}/", "") for line in faults(check_listed, cases, "LIST")]
    assert len(lines) == len(expected)
    for line, begins in zip(lines, expected, strict=True):
        assert line.startswith(begins)


def test_a_list_that_is_sound_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(touch(tmp_path, "a.nii", "series/1.dcm", "la.nii", "lb.nii"))
    check_listed([case("a", "la"), {"image": "series", "label": "lb.nii"}], "LIST")
    (line,) = faults(check_listed, [{"image": "a.nii", "label": "series"}], "LIST")
    assert line.startswith("series: does not exist")  # a label map is a file
