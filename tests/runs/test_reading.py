import json

import pytest

from monai_attn.runs.reading import FILE, Entry, read_reading
from scans import fails

TIME = "2026-01-02T03:04:05.678Z"


def entry(case="a", **said):
    return {"case": case, "verdict": "accept", "comment": "", "time": TIME, **said}


def write(folder, *cases, **said):
    content = {
        "format": "monai-attn reading",
        "version": 1,
        "report": "out",
        "cases": cases,
        **said,
    }
    (folder / FILE).write_text(json.dumps(content))


def test_a_reading_holds_the_entries_on_the_cases_of_the_run(tmp_path):
    write(tmp_path, entry(comment="tail is cut"), entry("b", verdict="reject"), entry("z"))
    reading = read_reading(tmp_path, ["a", "b", "c"])
    assert reading.entries["a"] == Entry("accept", "tail is cut", TIME)
    assert reading.entries["b"].verdict == "reject"
    assert reading.unknown == ("z",)
    assert reading.summary(3) == "2 of 3 cases read: 1 accepted, 1 rejected"


def test_a_comment_alone_is_no_verdict(tmp_path):
    write(tmp_path, entry(verdict="", comment="?"))
    reading = read_reading(tmp_path, ["a"])
    assert reading.entries["a"].comment == "?"
    assert reading.summary(1) == "0 of 1 cases read: 0 accepted, 0 rejected"


def test_a_folder_without_a_reading_has_none(tmp_path):
    assert read_reading(tmp_path, ["a"]) is None


# the content of the file, and what is said of it
FAULTS = [
    ("{", "reading.json: cannot be read (Expecting property name"),
    ('"a', "reading.json: cannot be read (Unterminated string"),
    ("[1]", "reading.json: not a reading of a report (got format None"),
    (
        '{"format": "monai-attn reading", "version": 2}',
        "version 2, expected 'monai-attn reading', ver",
    ),
    (
        '{"format": "monai-attn reading", "version": 1, "cases": 3}',
        "reading.json: no list of cases",
    ),
]


@pytest.mark.parametrize(("content", "said"), FAULTS)
def test_a_file_that_is_no_reading_is_one_line(tmp_path, content, said):
    (tmp_path / FILE).write_text(content)
    fails(said, read_reading, tmp_path, ["a"])


@pytest.mark.parametrize(
    "said",
    [{"verdict": "maybe"}, {"verdict": ["accept"]}, {"time": "soon"}, {"time": 3}, {"case": ""}],
)
def test_an_entry_that_is_none_is_one_line(tmp_path, said):
    write(tmp_path, entry() | said)
    fails("has no valid entry", read_reading, tmp_path, ["a"])
