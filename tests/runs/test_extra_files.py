"""Extra files of a case: made once, for the labels that are there, and never over a file of the user."""

import json

import pytest

from command_line import names_in, run
from monai_attn.io.errors import warn_of
from monai_attn.io.names import manifest_path
from monai_attn.io.scan import open_scan
from monai_attn.runs.extra_files import ExtraFile, WrittenCase, write_extra_files
from monai_attn.runs.manifest import manifest_started
from run_folders import write_case

MARK = b"a note"


def note(case, path):
    path.write_bytes(MARK + f" of {case.labels.sum()} voxels".encode())


NOTE = ExtraFile("note", "_note.txt", MARK, note)


@pytest.fixture
def case(tmp_path):
    write_case(tmp_path / "out")
    scan = open_scan(tmp_path / "scans" / "a.nii.gz")
    return WrittenCase(scan, tmp_path / "out" / "a_seg.nii.gz")


def test_a_file_is_written_and_listed(case):
    assert write_extra_files(case, [NOTE]) == ([], [])
    assert NOTE.path(case.target).read_bytes() == b"a note of 64 voxels"
    assert [*json.loads(manifest_path(case.target).read_text())["extra_files_sha256"]] == [
        "a_note.txt"
    ]


def test_a_file_that_is_intact_is_not_made_again(case):
    write_extra_files(case, [NOTE])
    again = ExtraFile(NOTE.kind, NOTE.ending, MARK, lambda *_: pytest.fail("made again"))
    assert write_extra_files(case, [again]) == ([], [])
    NOTE.path(case.target).write_text("harmed")
    write_extra_files(case, [NOTE])
    assert NOTE.path(case.target).read_bytes().startswith(MARK)


def test_a_fault_is_a_line_and_leaves_the_labels_alone(case):
    def fail(case, path):
        raise RuntimeError("no font")

    line = f"{case.scan.path}: no note was written ({NOTE.path(case.target)}: no font)"
    kind = ("note", "_note.txt", MARK)
    assert write_extra_files(case, [ExtraFile(*kind, fail)]) == ([line], [])
    assert write_extra_files(case, [ExtraFile(*kind, fail, option="note")]) == ([], [line])
    content = json.loads(manifest_path(case.target).read_text())
    assert content["missing_files"] == [line]
    assert write_extra_files(case, [ExtraFile(*kind, note, option="note")]) == ([], [])
    assert json.loads(manifest_path(case.target).read_text())["missing_files"] == []
    assert case.target.exists()


def test_a_doubt_about_a_file_is_a_warning(case):
    def doubt(case, path):
        note(case, path)
        warn_of([f"{path}: small"])

    path = NOTE.path(case.target)
    assert write_extra_files(case, [ExtraFile("note", "_note.txt", MARK, doubt)]) == (
        [f"{path}: small"],
        [],
    )
    assert path.exists()


def test_a_file_of_the_user_is_not_replaced(case):
    NOTE.check_replaceable(case.target)
    NOTE.path(case.target).write_text("mine")
    with pytest.raises(ValueError, match=r"a_note\.txt: no note of a run, so it is not replaced"):
        NOTE.check_replaceable(case.target)


def test_new_labels_delete_the_files_of_older_ones(case):
    write_extra_files(case, [NOTE])
    with manifest_started(case.target, case.scan.path):
        assert not NOTE.path(case.target).exists()


def test_resuming_adds_previews_and_scenes_to_labels_that_are_kept(
    phantoms, tiny_bundle, tmp_path, monkeypatch
):
    scan, out = min((phantoms / "imagesTr").iterdir()), tmp_path / "out"
    arguments = ("segment", scan, "-o", out, "--bundle", tiny_bundle, "--resume")
    assert run(monkeypatch, *arguments) == 0
    before = (out / f"{scan.name[:-7]}_seg.nii.gz").stat().st_mtime_ns
    assert run(monkeypatch, *arguments, "--preview", "--scene") == 0
    added = ("_preview.png", ".mrml", ".itksnap", "_labels.ctbl")
    assert {f"{scan.name[:-7]}{end}" for end in added} <= {*names_in(out)}
    (row,) = json.loads((out / "summary.json").read_text())["cases"]
    assert row["status"] == "kept"
    assert (out / f"{scan.name[:-7]}_seg.nii.gz").stat().st_mtime_ns == before
