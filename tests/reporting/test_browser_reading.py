"""A reader study: verdicts and comments in a report, saved to a file and read back."""

import json

import pytest

from monai_attn.reporting.page import write_report
from monai_attn.runs.reading import read_reading
from report_reader import Reader
from run_folders import row, write_case, write_rows


@pytest.fixture
def out(tmp_path):
    out = tmp_path / "out"
    write_rows(
        out,
        write_case(out, "first"),
        {**write_case(out, "second"), "status": "check"},
        row("bad", status="failed"),
    )
    return out


def open_report(browser, out, case="case-2"):
    return Reader(browser, write_report(out), case)


def save(reader, path):
    """Save as a browser without a file chooser does."""
    reader.page.evaluate("delete window.showSaveFilePicker")
    with reader.page.expect_download() as download:
        reader.page.get_by_role("button", name="Save reading.json").click()
    assert download.value.suggested_filename == "reading.json"
    path.write_bytes(download.value.path().read_bytes())


def test_a_reading_is_saved_read_back_and_shown(browser, out):
    reader = open_report(browser, out)
    reader.press("b", "k")
    reader.page.keyboard.type("the tail is cut")
    study = reader.page.locator(".study output")
    assert study.inner_text() == "1 of 2 read: 0 accepted, 1 rejected. Not saved yet."
    save(reader, out / "reading.json")
    assert "Not saved" not in study.inner_text()
    assert reader.said == []
    reader.page.close()
    reading = read_reading(out, ["first", "second"])
    assert reading.entries["second"].verdict == "reject"
    assert reading.entries["second"].comment == "the tail is cut"
    assert list(reading.entries) == ["second"]
    again = open_report(browser, out)
    assert again.case.locator(".comment").input_value() == "the tail is cut"
    assert again.page.locator("[data-read=case-2]").inner_text() == "rejected: the tail is cut"
    again.page.close()


@pytest.mark.slow
def test_a_draft_survives_a_reload_and_a_verdict_is_taken_back(browser, out):
    reader = open_report(browser, out)
    reader.press("a")
    reader.page.reload()
    accept = reader.case.get_by_role("button", name="Accept")
    assert accept.get_attribute("aria-pressed") == "true"
    accept.click()
    assert accept.get_attribute("aria-pressed") == "false"
    assert "0 of 2 read" in reader.page.locator(".study output").inner_text()
    reader.page.evaluate("localStorage.clear()")
    reader.page.close()


@pytest.mark.slow
def test_a_file_chooser_is_used_where_there_is_one(browser, out):
    reader = open_report(browser, out)
    reader.page.evaluate("""() => { window.showSaveFilePicker = async ({ suggestedName }) => ({
      createWritable: async () => ({ write: async (text) => { window.saved = [suggestedName, text]; },
                                     close: async () => {} }) }); }""")
    reader.press("a")
    reader.page.get_by_role("button", name="Save reading.json").click()
    reader.page.wait_for_function("() => window.saved")
    name, text = reader.page.evaluate("window.saved")
    assert name == "reading.json"
    (out / "reading.json").write_text(text)
    assert read_reading(out, ["second"]).entries["second"].verdict == "accept"
    assert set(json.loads(text)["cases"][0]) == {"case", "verdict", "comment", "time"}
    reader.page.evaluate("localStorage.clear()")
    reader.page.close()


@pytest.mark.slow
def test_doubtful_cases_come_first_and_the_order_of_the_scans_comes_back(browser, out):
    reader = open_report(browser, out)
    names = reader.page.locator("table.cases tbody th")
    cases = reader.page.locator("details.case .name")
    assert names.all_inner_texts() == ["second", "bad", "first"]
    assert cases.all_inner_texts() == ["second", "first"]
    assert "most doubtful cases come first" in reader.page.locator(".order").inner_text()
    reader.page.get_by_role("button", name="As given").click()
    assert names.all_inner_texts() == ["first", "second", "bad"]
    assert cases.all_inner_texts() == ["first", "second"]
    reader.page.get_by_role("button", name="By doubt").click()
    assert names.all_inner_texts() == ["second", "bad", "first"]
    reader.page.close()


@pytest.mark.slow
def test_a_key_goes_to_the_next_case(browser, out):
    reader = open_report(browser, out)
    reader.press(".")
    reader.settle()
    assert reader.page.locator("details.case[open] .name").all_inner_texts() == ["first"]
    reader.page.keyboard.press(",")
    assert reader.page.locator("details.case[open] .name").all_inner_texts() == ["second"]
    reader.page.close()
