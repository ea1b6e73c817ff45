import json
import re

import numpy as np
import pytest

from monai_attn.metrics.scores import CaseScore
from monai_attn.reporting import case_sections
from monai_attn.reporting.page import MARK, References, write_report
from pages import Page
from run_folders import NUMBERS, SETTINGS, SHAPE, row, stored_map, write_case, write_rows
from scans import fails

NASTY = """</script><b a="x" c='y'>&amp;\n<!-- --> ]]>"""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def report(out, *rows, **options):
    if rows:
        write_rows(out, *rows)
    return Page(write_report(out, **options))


def test_the_head_says_what_ran_and_what_it_is_for(out):
    words = report(out, write_case(out), row("b", status="failed")).words
    assert "a_bundle 1.2" in words
    assert "2026-01-02 03:04:05 UTC" in words
    assert "not for patients" in words
    assert "1 segmented 1 failed" in words


def test_every_case_is_in_the_table_with_its_numbers(out):
    confidence = {"temperature": 1.5, "views": 8, "intervals_ml": {"1": [11.11, 14.44]}}
    case = write_case(out, fallback="unsure", confidence=confidence)
    shown = report(
        out,
        {**case, "reason": "unsure", "warnings": [f"{case['scan']}: its axes are sheared"]},
        row("b", "/x/b.nii", "failed", reason="/x/b.nii: cut short; copy it again"),
        row("c", status="not run"),
    )
    assert "12.3 11.1 to 14.4" in shown.words
    assert "full (fallback) 2.5 unsure · its axes are sheared" in shown.words
    assert "failed - - 2.5 cut short; copy it again" in shown.words
    assert [a["href"] for a in shown.having("a")] == ["#cases", "#case-1"]


def test_a_case_to_check_says_why_in_the_table_and_above_its_slices(out):
    why = "pancreas 0.7 ml in 3 pieces, expected 35 to 320 ml"
    page = report(out, {**write_case(out), "status": "check", "reason": why}, row("b"))
    assert page.having("td", **{"class": "check"})
    assert "1 check 1 segmented" in page.words
    assert page.words.count(why) == 2
    assert f"Check {why}" in page.words


def test_doubtful_cases_come_first_and_others_in_their_order(out):
    statuses = ["segmented", "failed", "segmented", "check", "not run", "kept"]
    rows = [
        {**write_case(out, name), "status": s} for name, s in zip("abcdef", statuses, strict=True)
    ]
    rows[2]["warnings"] = ["thin"]
    shown = report(out, *rows)
    places = [int(attributes["data-given"]) for attributes in shown.having("tr") if attributes]
    assert places == [3, 1, 4, 2, 0, 5]
    assert "The most doubtful cases come first" in shown.words
    assert [a["data-order"] for _, a in shown.tags if "data-order" in a] == ["doubt", "given"]


def test_every_number_column_says_what_it_means(out):
    scores = [CaseScore("a", 1, 0.876, 0.9, 0.8, 1.0, 3.21, 0.95, 80.0, 90.0)]
    confidence = {"temperature": 1.5, "views": 8, "intervals_ml": {"1": [11.11, 14.44]}}
    case = write_case(out, confidence=confidence)
    path = out / "a_seg.manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention": {"2": NUMBERS}}))
    shown = report(out, case, references=References(tuple(scores)))
    heads = shown.having("th", scope="col")
    assert len(heads) > 30
    in_table = shown.having("button", type="button")
    assert all(a.get("title") for a in in_table if "data-column" in a)
    assert all(a.get("title") for a in heads if "tabindex" in a)
    assert len([a for a in heads if "tabindex" in a]) == len(heads) - len(
        [a for a in in_table if "data-column" in a]
    )


def test_a_folder_in_which_all_failed_has_a_report(out):
    shown = report(out, row("a", status="failed", reason="bad"), row("b", status="failed"))
    assert "2 failed" in shown.words
    assert not shown.having("canvas")


def test_scores_are_in_the_table_and_at_the_case(out):
    rows = [write_case(out, "a"), write_case(out, "b_0000")]
    scores = [
        CaseScore(case, 1, 0.876, 0.9, 0.8, None, 3.21, 0.95, 80.0, 90.0) for case in ("a", "b")
    ]
    shown = report(out, *rows, references=References(tuple(scores)))
    assert shown.words.count("0.876") == 4  # nnU-Net's scan b_0000 is case b
    assert "pancreas 0.876 0.900 0.800 - 3.21 0.950 80.0 +10.0" in shown.words


def test_numbers_of_attention_and_confidence_are_at_the_case(out):
    confidence = {"temperature": 1.5, "views": 8, "intervals_ml": {"1": [11.11, 14.44]}}
    case = write_case(out, confidence=confidence)
    path = out / "a_seg.manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attention": {"2": NUMBERS}}))
    words = report(out, case).words
    assert "Attention evidence to check, no explanation" in words
    assert "share in pancreas 2 0.500 0.875 - 25.0% 12.5% 6.2% 0.750 37.5%" in words
    assert "Confidence temperature 1.5, views 8" in words
    assert "pancreas 12.3 11.1 14.4" in words


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.8, "80% of volumes"), (None, "the views alone, no known rate")],
)
def test_an_interval_says_what_it_holds(out, rate, said):
    confidence = {"rate": {"1": rate}, "intervals_ml": {"1": [11.11, 14.44]}}
    words = report(out, write_case(out, confidence=confidence)).words
    assert f"made to hold pancreas 12.3 11.1 14.4 {said}" in words


def test_a_warning_leaves_out_the_path_however_it_was_given(out):
    first = write_case(out, "a")
    warnings = ["../scans/a.nii.gz: thin: look at it", "no path: odd"]
    words = report(out, {**first, "warnings": warnings}).words
    assert "thin: look at it" in words
    assert "no path: odd" in words
    assert "../scans" not in words


def test_the_first_volume_of_a_file_is_said_to_have_been_taken(out):
    settings = {**SETTINGS, "volume": 0, "series": None}
    write_rows(out, write_case(out), settings=settings)
    words = report(out).words
    assert "volume 0" in words
    assert "series" not in words
    assert "dicom seg" not in words


def test_without_numbers_there_are_no_tables_of_them(out):
    words = report(out, write_case(out, seconds={})).words
    for caption in ("Attention", "Confidence", "Against the reference", "Stage"):
        assert caption not in words


def test_nothing_from_a_file_is_taken_for_markup(out):
    settings = {
        **SETTINGS,
        "bundle": {"name": NASTY, "version": NASTY},
        "intended_use": NASTY,
        "labels": {"1": NASTY},
        NASTY: NASTY,
    }
    plain = report(out, write_case(out, attention={1: stored_map(0.5)}))
    case = write_case(out, attention={1: stored_map(0.5)}, settings=settings, fallback=NASTY)
    rows = [
        {**case, "case": NASTY, "reason": NASTY, "warnings": [NASTY], "volumes_ml": {NASTY: 1.0}},
        row("b", status="failed", reason=NASTY),
    ]
    write_rows(out, *rows, settings=settings, date=NASTY)
    faults = {"a_seg.nii.gz": NASTY}
    nasty = report(out, references=References(faults=faults))
    assert not nasty.having("b", a="x")
    assert nasty.scripts.keys() == plain.scripts.keys()
    assert json.loads(nasty.scripts["case-1-view"])["labels"][0]["name"] == NASTY
    assert nasty.words.count(" ".join(NASTY.split())) >= 8
    assert len(nasty.having("script")) == len(plain.having("script"))


def test_the_page_asks_nothing_of_a_network(out):
    shown = report(out, write_case(out, attention={1: stored_map(0.5)}))
    text = (out / "report.html").read_text()
    assert not re.search(r"https?:|@import|url\(", text)
    assert not any("src" in attributes for _, attributes in shown.tags)
    assert not shown.having("link")
    (policy,) = shown.having("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; script-src 'sha256-")


def test_the_same_files_give_the_same_report(out):
    write_rows(out, write_case(out, attention={1: stored_map(0.5)}))
    first = write_report(out).read_bytes()
    assert write_report(out).read_bytes() == first


def test_what_was_done_to_show_a_case_is_said(out, monkeypatch):
    case = write_case(out)
    assert "Shown at the scan's own 4.00 x 5.00 x 6.00 mm." in report(out, case).words
    monkeypatch.setattr("monai_attn.reporting.viewer.MOST_VOXELS", 100)
    words = report(out, case).words
    assert "Shown at 12.00 x 10.00 x 12.00 mm, 3 x 2 x 2 of the scan's voxels" in words
    assert re.search(r"256 steps: [\d.]+ HU in the middle of the bundle's window", words)


def test_many_cases_share_what_a_page_can_hold(out, monkeypatch):
    noise = np.random.default_rng(0).uniform(-1000, 1000, (30, 30, 30)).astype(np.float32)
    rows = [write_case(out, name, noise) for name in "abcd"]
    monkeypatch.setattr(case_sections, "PAGE_LIMIT", 40_000)
    monkeypatch.setattr(case_sections, "LEAST", 0)
    scripts = report(out, *rows).scripts
    packed = [len(scripts[f"case-{n}-{key}"]) for n in range(1, 5) for key in ("image", "labels")]
    assert 1000 < sum(packed) <= 40_000


def test_a_case_whose_scan_is_gone_is_shown_by_its_labels_with_one_line(out):
    case = write_case(out)
    (out.parent / "scans" / "a.nii.gz").unlink()
    shown = report(out, case)
    assert "the scan is no longer there; put it back, and report again (labels alone" in shown.words
    assert "case-1-labels" in shown.scripts
    assert "case-1-image" not in shown.scripts
    assert not shown.having("select")


def test_a_case_whose_label_map_is_damaged_leaves_the_others_whole(out):
    rows = [write_case(out, "a"), write_case(out, "b")]
    (out / "a_seg.nii.gz").write_bytes(b"nothing")
    shown = report(out, *rows)
    assert "case-1-labels" not in shown.scripts
    assert "case-2-labels" in shown.scripts
    assert f"Note {out / 'a_seg.nii.gz'}: " in shown.words


def test_a_case_whose_manifest_is_damaged_says_so(out):
    case = write_case(out)
    (out / "a_seg.manifest.json").write_text("{")
    shown = report(out, case)
    assert "a_seg.manifest.json: is missing or damaged; neither maps nor numbers" in shown.words
    assert {"case-1-labels", "case-1-image"} <= shown.scripts.keys()


@pytest.mark.parametrize("labels", [np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)])
def test_a_case_with_no_label_or_nothing_else_is_shown(out, labels):
    shown = report(out, write_case(out, labels=labels))
    assert ("no label in this case" in shown.words) is not labels.any()


def test_a_name_that_is_no_text_is_shown_as_far_as_it_is(out):
    assert "\\udcff" in report(out, row("\udcff", status="failed")).words


@pytest.mark.parametrize("content", ["", "<html>mine</html>", "<!DOCTYPE html>\n<!-- mine -->"])
def test_a_page_that_is_no_report_is_not_lost(out, content):
    write_rows(out, write_case(out))
    (out / "report.html").write_text(content)
    fails("report.html: not a report of a run, so it is not replaced. Move", write_report, out)
    assert (out / "report.html").read_text() == content


def test_a_folder_in_the_place_of_the_page_is_one_line(out):
    write_rows(out, write_case(out))
    (out / "report.html").mkdir()
    fails("report.html: not a report of a run, so it is not replaced. Move", write_report, out)


def test_an_older_report_is_replaced(out):
    path = out / "report.html"
    write_rows(out, write_case(out))
    path.write_text(f"<!DOCTYPE html>\n<!-- {MARK} -->")
    assert write_report(out) == path
    assert path.stat().st_size > 10_000


def test_a_report_ends_in_html(out):
    write_rows(out, write_case(out))
    fails("a.txt: suffix '.txt'; '.html' expected", write_report, out, out / "a.txt")


def test_a_report_is_written_whole_or_not_at_all(out, monkeypatch):
    write_rows(out, write_case(out))
    old = write_report(out).read_bytes()

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(case_sections, "view_case", stop)
    with pytest.raises(KeyboardInterrupt):
        write_report(out)
    assert (out / "report.html").read_bytes() == old
    assert not list(out.glob(".*"))


def test_progress_is_told(out):
    write_rows(out, write_case(out, "a"), row("b", status="failed"), write_case(out, "c"))
    told = []
    write_report(out, on_case=lambda *counts: told.append(counts))
    assert told == [(1, 2), (2, 2)]
