"""`monai-attn report`, and `segment --report`."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from command_line import names_in, run
from monai_attn.metrics.scores import CaseScore, write_summary
from pages import Page
from run_folders import AFFINE, organ, row, write_case, write_rows


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def write_reference(path, labels=None, affine=AFFINE):
    path.parent.mkdir(exist_ok=True)
    nib.Nifti1Image(organ() if labels is None else labels, affine).to_filename(path)
    return path


def test_a_folder_has_its_report(out, monkeypatch, capsys):
    write_rows(out, write_case(out), row("b", status="failed"))
    assert run(monkeypatch, "report", out) == 0
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    assert (out / "report.html").is_file()


def test_a_report_can_lie_elsewhere(out, tmp_path, monkeypatch):
    write_rows(out, write_case(out))
    assert run(monkeypatch, "report", out, "-o", tmp_path / "new" / "a.html") == 0
    assert (tmp_path / "new" / "a.html").is_file()
    assert "report.html" not in names_in(out)


def test_scores_of_the_folder_are_shown(out, monkeypatch, capsys):
    write_rows(out, write_case(out))
    write_summary([CaseScore("a", 1, 0.876, 1, 1, None, None, 1, 1, 1)], out / "scores.json")
    assert run(monkeypatch, "report", out) == 0
    assert "0.876" in Page(out / "report.html").words
    (out / "scores.json").write_text("{}")
    assert run(monkeypatch, "report", out) == 0
    assert "warning: " in capsys.readouterr().err


def test_references_are_scored_and_drawn_where_there_are_any(out, tmp_path, monkeypatch, capsys):
    rows = [write_case(out, name) for name in ("a", "b_0000", "c", "d")]
    references = tmp_path / "references"
    write_reference(references / "a.nii.gz")
    write_reference(references / "b.nii", np.roll(organ(), 1, axis=0))
    write_reference(references / "d.nii", affine=np.eye(4))
    write_rows(out, *rows, row("e", status="failed"))
    assert run(monkeypatch, "report", out, "--reference", references) == 0
    page = Page(out / "report.html")
    drawn = [name for name in page.scripts if name.endswith("reference")]
    assert drawn == ["case-1-reference", "case-2-reference"]
    assert "1.000" in page.words
    assert "0.750" in page.words  # one slice of four is off
    warnings = capsys.readouterr().err
    assert "references: no reference for c; name it like the scan" in warnings
    assert "d_seg.nii.gz: is not on the grid of" in warnings


def test_one_case_can_have_one_file_as_its_reference(out, tmp_path, monkeypatch):
    write_rows(out, write_case(out))
    reference = write_reference(tmp_path / "any.nii.gz")
    assert run(monkeypatch, "report", out, "--reference", reference) == 0
    assert "case-1-reference" in Page(out / "report.html").scripts


def test_references_with_other_values_are_mapped(out, tmp_path, monkeypatch, capsys):
    write_rows(out, write_case(out))
    organs = organ() * 7
    organs[0] = 5
    reference = write_reference(tmp_path / "organs.nii.gz", organs)
    assert run(monkeypatch, "report", out, "--reference", reference, "--map", "7=1") == 0
    assert "1.000" in Page(out / "report.html").words
    capsys.readouterr()
    assert run(monkeypatch, "report", out, "--reference", reference) == 0
    assert (
        "organs.nii.gz: unknown label values (got 5, 7, expected 0, 1, 2)"
        in capsys.readouterr().err
    )
    assert "case-1-reference" not in Page(out / "report.html").scripts
    assert run(monkeypatch, "report", out, "--map", "7=1") == 2
    assert (
        "--map: describes references, but none are given. Name them with --reference"
        in capsys.readouterr().err
    )


def test_references_of_other_cases_are_refused(out, tmp_path, monkeypatch, capsys):
    write_rows(out, write_case(out), write_case(out, "b"))
    reference = write_reference(tmp_path / "references" / "z.nii.gz")
    assert run(monkeypatch, "report", out, "--reference", reference.parent) == 2
    assert (
        "no reference for any of the cases; name the files like the scans"
        in capsys.readouterr().err
    )
    assert run(monkeypatch, "report", out, "--reference", reference) == 2
    assert (
        "one file for 2 scans (expected a label map for one scan, or a folder"
        in capsys.readouterr().err
    )
    assert "report.html" not in names_in(out)


# --- segment --report


def segment(monkeypatch, bundle, *arguments):
    options = ("--bundle", bundle, "--backend", "eager", "--report")
    return run(monkeypatch, "segment", *arguments, *options)


@pytest.fixture
def scans(phantoms, tmp_path):
    """A scan, and a file that is none."""
    folder = tmp_path / "scans"
    folder.mkdir()
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    shutil.copy(scan, folder)
    (folder / "broken.nii.gz").write_bytes(b"no scan")
    return folder


def test_a_run_writes_its_report_also_when_a_case_failed(
    scans, tiny_bundle, out, monkeypatch, capsys
):
    assert segment(monkeypatch, tiny_bundle, scans, "-o", out, "--attention") == 1
    page = Page(out / "report.html")
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out
    assert "1 failed 1 segmented" in page.words
    assert "not for patients" in page.words
    assert "As the network" not in page.text  # the script's
    view = json.loads(page.scripts["case-2-view"])
    assert view["bundle_window"] is True
    assert [overlay["kind"] for overlay in view["overlays"]] == ["attention"]
    assert json.loads((out / "summary.json").read_text())["date"].endswith("+00:00")


def test_one_file_has_its_report_beside_it(phantoms, tiny_bundle, tmp_path, monkeypatch):
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    assert segment(monkeypatch, tiny_bundle, scan, "-o", tmp_path / "mine.nii.gz") == 0
    assert names_in(tmp_path) == ["mine.manifest.json", "mine.nii.gz", "report.html"]
    assert scan.name.removesuffix(".nii.gz") in Page(tmp_path / "report.html").words


def test_one_file_that_failed_leaves_no_report(scans, tiny_bundle, tmp_path, monkeypatch):
    broken = scans / "broken.nii.gz"
    assert segment(monkeypatch, tiny_bundle, broken, "-o", tmp_path / "a" / "a.nii.gz") == 1
    assert names_in(tmp_path / "a") == []


def test_another_page_stops_a_run_before_the_work(scans, tiny_bundle, out, monkeypatch, capsys):
    out.mkdir()
    (out / "report.html").write_text("mine")
    assert segment(monkeypatch, tiny_bundle, scans, "-o", out) == 2
    assert "report.html: not a report of a run" in capsys.readouterr().err
    assert names_in(out) == ["report.html"]


def test_a_reading_is_read_back_shown_and_counted(out, monkeypatch, capsys):
    write_rows(out, write_case(out, "a"), write_case(out, "b"), row("c", status="failed"))
    entry = {"verdict": "reject", "comment": "the tail is cut", "time": "2026-01-02T03:04:05Z"}
    content = {"format": "monai-attn reading", "version": 1, "report": "out"}
    cases = [{"case": "b", **entry}, {"case": "elsewhere", **entry}]
    (out / "reading.json").write_text(json.dumps({**content, "cases": cases}))
    assert run(monkeypatch, "report", out) == 0
    said = capsys.readouterr()
    assert "reading: 1 of 2 cases read: 0 accepted, 1 rejected" in said.out
    assert "reading.json: 1 of its cases are not in this run (elsewhere)" in said.err
    assert json.loads(Page(out / "report.html").scripts["page-data"])["reading"]["known"] == {
        "case-2": entry
    }


def test_a_file_that_is_no_reading_is_one_warning_and_the_report_is_written(
    out, monkeypatch, capsys
):
    write_rows(out, write_case(out))
    (out / "reading.json").write_text('{"format": "something else"}')
    assert run(monkeypatch, "report", out) == 0
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert "reading.json: not a reading of a report (got format 'something else'" in line
    assert "reading:" not in said.out
    assert f"report: {out / 'report.html'}" in said.out
