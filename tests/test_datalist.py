import json

import pytest

from monai_attn.data.datalist import check_listed, read_datalist
from scans import datalist, fails, faults, touch

# the datalist, the fault
BAD_DATALISTS = {
    "not JSON": ("{", "not readable as JSON (Expecting property name"),
    "not text": ("\udcff", "not readable as JSON ('utf-8'"),
    "a number": ("3", "3; a list of cases, or an object with sections, expected"),
    "no section": ({"name": "Pancreas", "numTest": 3}, "names no case; one in test, testing, "),
    "empty sections": ({"test": [], "training": []}, "names no case; one in test"),
    "empty list": ([], "names no case"),
    "section not a list": ({"test": "a.nii"}, "test is 'a.nii'; a list of cases expected"),
    "entry without image": (
        [{"label": "a.nii"}],
        "the entry {'label': 'a.nii'} names no image; a ",
    ),
    "image not a path": ([{"image": ["a.nii"]}], "the entry {'image': ['a.nii']} names no image"),
    "empty path": ([""], "the entry '' names no image"),
    "null": ([None], "the entry None names no image"),
    "a null byte": (["a\0.nii"], "the entry 'a\\x00.nii' names no image"),
}


@pytest.mark.parametrize(("content", "fault"), BAD_DATALISTS.values(), ids=BAD_DATALISTS.keys())
def test_datalists_that_cannot_be_used(tmp_path, content, fault):
    path = tmp_path / "dataset.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    fails(f"{path}: {fault}", read_datalist, tmp_path)


def test_a_datalist_that_is_not_there(tmp_path):
    fails(f"{tmp_path}/a.json: does not exist; a datalist", read_datalist, tmp_path / "a.json")


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


# --- check_listed


def case(image, label=None):
    return {"image": f"{image}.nii"} | ({"label": f"{label}.nii"} if label else {})


# the cases, what each line says; a.nii, b.nii, la.nii and lb.nii exist
LISTED = {
    "no label": ([case("a")], ["LIST: case a.nii has no label; one for each case expected"]),
    "no files": (
        [case("gone", "la"), case("a", "lost")],
        ["gone.nii: does not exist, but LIST names it;", "lost.nii: does not exist, but LIST"],
    ),
    "one image twice": (
        [case("a", "la"), case("a", "lb")],
        ["a.nii: the image of 2 cases in LIST, with the labels la.nii, lb.nii; one case expected"],
    ),
    "one label twice": (
        [case("a", "la"), case("b", "la")],
        ["la.nii: the label of 2 cases in LIST, with the images a.nii, b.nii; one case expected"],
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
