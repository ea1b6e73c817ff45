"""Cases at full resolution next to a page, which is too small for them."""

import json
import re

import numpy as np
import pytest

from monai_attn.reporting import case_sections
from monai_attn.reporting.page import write_report
from pages import Page
from report_reader import Reader, differ
from run_folders import write_case, write_rows
from scans import fails


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A run of one case that does not fit into its page."""
    monkeypatch.setattr(case_sections, "LIMIT", 15_000)
    monkeypatch.setattr(case_sections, "LEAST", 0)
    noise = np.random.default_rng(0).uniform(-150, 250, (32, 30, 28)).astype(np.float32)
    return write_rows(tmp_path / "out", write_case(tmp_path / "out", "a \u00e9", noise))


def full_of(page):
    return json.loads(Page(page).scripts["case-1-view"])["full"]


def test_a_case_that_does_not_fit_lies_next_to_the_page(out):
    page = write_report(out)
    view, full = json.loads(Page(page).scripts["case-1-view"]), full_of(page)
    assert max(view["shape"]) < 32
    assert full["file"] == "report_files/a \u00e9_seg.js"
    text = (out / full["file"]).read_text()
    key, content = re.search(r'^takeCase\("(\w+)", (.*)\);$', text, re.MULTILINE).groups()
    assert key == full["key"]
    assert json.loads(content)["view"]["shape"] == [32, 30, 28]


def test_a_case_that_fits_and_a_report_without_have_no_such_file(out, monkeypatch):
    page = write_report(out, full_resolution=False)
    assert full_of(page) is None
    assert not (out / "report_files").exists()
    monkeypatch.setattr(case_sections, "LIMIT", 15_000_000)
    assert full_of(write_report(out)) is None
    assert not (out / "report_files").exists()


def test_files_of_an_older_report_go_and_others_stay(out, monkeypatch):
    write_report(out)
    (out / "report_files" / "mine.js").write_text("mine")
    monkeypatch.setattr(case_sections, "LIMIT", 15_000_000)
    write_report(out)
    assert [path.name for path in (out / "report_files").iterdir()] == ["mine.js"]


def test_another_file_is_not_replaced(out):
    (out / "report_files").mkdir()
    (out / "report_files" / "a \u00e9_seg.js").write_text("mine")
    fails("not a file of a report, so it is not replaced. Move it away.", write_report, out)
    assert not (out / "report.html").exists()


def test_full_resolution_is_shown_on_demand_at_the_same_place(browser, out):
    reader = Reader(browser, write_report(out))
    coarse, place = reader.pixels(), reader.says()
    button = reader.case.get_by_role("button", name="Full resolution")
    button.click()
    reader.case.locator("[data-full][aria-pressed=true]").wait_for()
    assert "of 28" in reader.place()
    assert differ(coarse, reader.pixels()) > 0.2
    here = [int(mm) for mm in re.findall(r"[RLAPSI] (\d+)", reader.says())]
    there = [int(mm) for mm in re.findall(r"[RLAPSI] (\d+)", place)]
    assert here == pytest.approx(there, abs=4)
    button.click()
    assert differ(coarse, reader.pixels()) == 0
    assert reader.said == []
    reader.page.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "which is not next to this page"), ('takeCase("other", {});', "another report")],
)
def test_a_file_that_is_gone_or_of_another_report_is_said(browser, out, content, said):
    page = write_report(out)
    path = out / full_of(page)["file"]
    path.unlink()
    if content:
        path.write_text(content)
    reader = Reader(browser, page)
    before = reader.place()
    reader.case.get_by_role("button", name="Full resolution").click()
    reader.case.locator(".failure").wait_for()
    words = reader.case.locator(".failure").inner_text()
    assert said in words
    assert "report_files/a \u00e9_seg.js" in words
    assert reader.place() == before
    reader.page.close()
