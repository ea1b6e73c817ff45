"""Scores of cases: their summary, and how they are written, read and shown."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from monai_attn.metrics.scores import CaseScore, read_scores, score_table, summarize, write_summary
from scans import one_line

# case, label, Dice, precision, recall, MSD, HD95, NSD, reference, prediction
SCORES = [
    CaseScore("a", 1, 0.9, 1.0, 0.8, 1.0, 4.0, 0.9, reference_ml=80, predicted_ml=70),
    CaseScore("b", 1, 0.8, 0.8, 0.8, 2.0, 8.0, 0.6, reference_ml=90, predicted_ml=95),
    CaseScore("c", 1, 0.1, 0.3, 0.2, None, None, 0.0, reference_ml=40, predicted_ml=60),
    CaseScore("c", 2, 0.5, 0.5, 0.5, 3.0, 9.0, 0.5, reference_ml=10, predicted_ml=10),
]


def test_summary_averages_each_label_over_cases():
    summary = summarize(SCORES)
    assert list(summary["mean"]) == ["1", "2"]
    assert summary["mean"]["1"] == pytest.approx(
        {
            "n": 3,
            "n_surface": 2,
            "n_absent": 0,
            "n_false": 0,
            "false_positive_ml": None,
            "dice": 0.6,
            "dice_median": 0.8,
            "dice_min": 0.1,
            "precision": 0.7,
            "recall": 0.6,
            "surface_distance_mm": 1.5,
            "hd95_mm": 6,
            "nsd_2mm": 0.5,
            "reference_ml": 70,
            "predicted_ml": 75,
            "volume_error_ml": 5,
            "absolute_volume_error_ml": 35 / 3,
        }
    )


def test_summary_keeps_every_case():
    rows = summarize(SCORES)["cases"]
    assert [row["case"] for row in rows] == ["a", "b", "c", "c"]
    assert rows[0]["dice"] == 0.9
    assert rows[0]["volume_error_ml"] == -10


def test_a_mean_of_no_distance_is_none():
    row = summarize(SCORES[2:3])["mean"]["1"]
    assert (row["n"], row["n_surface"]) == (1, 0)
    assert row["surface_distance_mm"] is row["hd95_mm"] is None


def test_no_scores_make_an_empty_summary():
    assert summarize([]) == {"cases": [], "mean": {}}


def test_written_summary_reads_back_equal(tmp_path):
    path = write_summary(iter(SCORES), tmp_path / "new" / "scores.json")
    assert json.loads(path.read_text()) == summarize(SCORES)
    assert list(path.parent.iterdir()) == [path]


def test_written_scores_read_back_equal(tmp_path):
    assert read_scores(write_summary(SCORES, tmp_path / "scores.json")) == SCORES


def test_a_csv_has_a_row_per_case_and_label(tmp_path):
    path = write_summary(SCORES, tmp_path / "scores.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["label"]) for row in rows] == [(s.case, str(s.label)) for s in SCORES]
    assert [row["hd95_mm"] for row in rows] == ["4.0", "8.0", "", "9.0"]
    assert [float(row["volume_error_ml"]) for row in rows] == [-10, 5, 20, 0]


def changed(**values):
    row = {**summarize(SCORES)["cases"][0], **values}
    return json.dumps({"cases": [{key: row[key] for key in row if row[key] != "left out"}]})


# what the file holds, what the one line says after the path
BAD_SCORES = {
    "no JSON": ("case,label", ": is not JSON (Expecting value"),
    "something else": ("[1, 2]", ": no scores of this version. Evaluate"),
    "rows of something else": ('{"cases": [1]}', ": no scores of this version. Evaluate"),
    "no surfaces": (changed(nsd_2mm="left out"), ": no scores of this version (lacks nsd_2mm)"),
    "NaN": (changed(dice=float("nan")), "case 'a', label 1: dice is nan (expected"),
    "text": (changed(dice="0.9"), "case 'a', label 1: dice is '0.9' (expected"),
    "no Dice": (changed(dice=None), "case 'a', label 1: dice is None (expected"),
    "label": (changed(label="1"), "case 'a', label '1': not a name and a whole number"),
    "twice": (json.dumps({"cases": summarize(SCORES[:1])["cases"] * 2}), "label 1: occurs twice"),
}


@pytest.mark.parametrize(("text", "message"), BAD_SCORES.values(), ids=BAD_SCORES.keys())
def test_scores_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r".") as raised:
        read_scores(path)
    assert one_line(raised).startswith(f"{path}: ")
    assert message in one_line(raised)


def test_scores_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.json: cannot be read \(No such file") as raised:
        read_scores(tmp_path / "nowhere.json")
    one_line(raised)


def test_a_failed_write_leaves_the_old_summary(tmp_path, monkeypatch):
    path = tmp_path / "scores.json"
    path.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_summary(SCORES, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def printed(scores, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(score_table(scores, width))
    return console.export_text().splitlines()


def cells(lines):
    return [line.split() for line in lines]


@pytest.mark.parametrize("width", [30, 50, 60])
def test_a_narrow_table_names_its_cases_and_cuts_no_number(width):
    scores = [replace(score, case=f"patient_{score.case}_portal") for score in SCORES]
    lines = printed(scores, width)
    rows = [line for line in lines if re.search(r" 0\.\d\d\d", line)]
    names = "".join(line.split("  ")[0].strip() for line in lines)
    assert all(score.case in names for score in scores)
    assert rows
    assert "\u2026" not in "".join(lines)
    assert "a wider terminal also shows:" in " ".join(" ".join(lines).split())


def test_table_shows_each_case_and_the_mean():
    lines = cells(printed(SCORES))
    mean = ["mean", "of", "3", "1", "0.600", "0.700", "0.600", "1.50", "6.00", "0.500"]
    assert ["a", "1", "0.900", "1.000", "0.800", "1.00", "4.00", "0.900", "80.0", "-10.0"] in lines
    assert ["c", "1", "0.100", "0.300", "0.200", "-", "-", "0.000", "40.0", "+20.0"] in lines
    assert [*mean, "70.0", "+5.0"] in lines
    assert not any(line[:3] == ["mean", "of", "1"] for line in lines)


def test_table_says_of_how_many_cases_the_distances_are():
    text = " ".join(" ".join(line) for line in cells(printed(SCORES)))
    assert "label 1: MSD and HD95 of 2 of 3 cases" in text
    assert "label 2: MSD" not in text


def test_labels_without_distances_share_a_line():
    scores = [CaseScore("a", label, 0, 0, 0, None, None, 0, 1, 0) for label in (2, 3, 7)]
    caption = score_table(scores).caption
    assert caption.splitlines() == [
        "labels 2, 3, 7: MSD and HD95 of 0 of 1 cases; it was missed in the others"
    ]


ABSENT = (None,) * 6


def test_a_mean_is_over_the_cases_that_have_the_label_and_false_positives_are_said():
    """A rare class that is never found does not look good because most cases lack it."""
    scores = [
        CaseScore("a", 2, 0, 0, 0, None, None, 0, 10, 0),
        CaseScore("b", 2, *ABSENT, 0, 3),
        *[CaseScore(case, 2, *ABSENT, 0, 0) for case in "cd"],
    ]
    mean = summarize(scores)["mean"]["2"]
    assert (mean["dice"], mean["n"], mean["n_absent"], mean["n_false"]) == (0, 1, 3, 1)
    assert (mean["false_positive_ml"], mean["reference_ml"]) == (1, 10)
    caption = score_table(scores).caption.splitlines()
    assert caption[0] == (
        "label 2: in 1 of 4 references; falsely labelled in 1, 1.0 ml in the mean of all"
    )
    assert score_table(scores[2:]).caption == (
        "label 2: in 0 of 2 references; not labelled there either"
    )


def test_scores_of_a_label_that_is_absent_read_back_equal(tmp_path):
    scores = [CaseScore("b", 1, *ABSENT, 0, 3)]
    assert read_scores(write_summary(scores, tmp_path / "scores.json")) == scores


def test_cases_with_ignored_voxels_have_no_surfaces_and_a_line_says_so():
    known = CaseScore("a", 1, 0.5, 0.5, 0.5, 1.0, 2.0, 0.8, 1.0, 1.0)
    partly = CaseScore("b", 1, 0.7, 0.5, 0.5, None, None, None, 1.0, 1.0)
    mean = summarize([known, partly])["mean"]["1"]
    assert (mean["dice"], mean["nsd_2mm"], mean["n_surface"]) == (0.6, 0.8, 1)
    assert summarize([partly])["mean"]["1"]["nsd_2mm"] is None
    assert score_table([known, partly]).caption == (
        "ignored voxels in 1 of 2 cases: only the known voxels are scored, without surface distances"
    )
    assert score_table([known]).caption is None
    absent = CaseScore("c", 1, *ABSENT, 0, 3)  # nothing says whether all of this reference is known
    assert (
        score_table([partly, absent])
        .caption.splitlines()[-1]
        .startswith("ignored voxels in 1 of 1 cases with a label: ")
    )


def test_scores_without_surfaces_read_back_equal(tmp_path):
    partly = [CaseScore("b", 1, 0.7, 0.5, 0.5, None, None, None, 1.0, 1.0)]
    assert read_scores(write_summary(partly, tmp_path / "scores.json")) == partly


def test_a_long_name_is_folded_and_leaves_the_numbers_whole():
    name = "a_name_" * 12
    largest = CaseScore(name, 104, 1, 1, 1, 123.4, 1234.5, 1, 12345.6, 0)
    lines = printed([largest])
    assert "".join(line.split()[0] for line in lines if "_" in line) == name
    (row,) = [line.split() for line in lines if "104" in line]
    assert row[2:] == [
        "1.000",
        "1.000",
        "1.000",
        "123.40",
        "1234.50",
        "1.000",
        "12345.6",
        "-12345.6",
    ]


def test_table_shows_a_case_name_as_it_is():
    lines = cells(printed([CaseScore("[red]", 1, 1, 1, 1, 0, 0, 1, 1, 1)]))
    assert "[red]" in [line[0] for line in lines if "1.000" in line]


def test_a_summary_is_never_written_over_a_label_map(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"labels")
    with pytest.raises(
        ValueError, match=r"a\.nii\.gz: unknown suffix \(got '\.gz', expected '\.json' or '\.csv'\)"
    ):
        write_summary([], tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == b"labels"
