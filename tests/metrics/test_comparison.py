import csv
import io
import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import wilcoxon

from monai_attn.cli import main
from monai_attn.metrics.comparison import (
    METRICS,
    compare_scores,
    comparison_table,
    read_runs,
    write_comparison,
)
from monai_attn.metrics.scores import CaseScore, write_summary

BASE = CaseScore("", 1, 0.8, 0.8, 0.8, 2.0, 6.0, 0.7, 80.0, 75.0)


def run(values, metric="dice", label=1):
    """A run in which the cases differ in one metric."""
    return [
        replace(BASE, case=f"case_{i}", label=label, **{metric: value})
        for i, value in enumerate(values)
    ]


def compare(a, b, metric="dice"):
    """One row, of two runs with these values of a metric."""
    (row,) = compare_scores({"a": run(a, metric)}, {"b": run(b, metric)}, metrics=[metric])
    return row


RNG = np.random.default_rng(0)
A, B = RNG.uniform(0.5, 0.7, 20), RNG.uniform(0.55, 0.8, 20)


def test_means_and_their_difference():
    row = compare([0.5, 0.7, 0.6], [0.6, 0.7, 0.8])
    assert (row.label, row.metric, row.n) == (1, "dice", 3)
    assert (row.mean_a, row.mean_b) == pytest.approx((0.6, 0.7))
    assert row.difference == pytest.approx(0.1)


def test_cases_are_paired_by_name_and_not_by_place():
    a, b = run(A), run(A + 0.01)
    (row,) = compare_scores({"a": a}, {"b": b[::-1]}, metrics=["dice"])
    assert row.low == pytest.approx(0.01)  # every case by as much
    assert row.n_better == 20


def test_every_label_and_metric_has_a_row():
    scores = run(A) + run(A, label=3)
    rows = compare_scores({"a": scores}, {"b": scores})
    assert [(row.label, row.metric) for row in rows] == list(product([1, 3], METRICS))


# metric, values of A and B; B is better in the first case only
BETTER = {
    "dice": ([0.5, 0.5, 0.5], [0.6, 0.5, 0.4]),
    "precision": ([0.5, 0.5, 0.5], [0.6, 0.5, 0.4]),
    "recall": ([0.5, 0.5, 0.5], [0.6, 0.5, 0.4]),
    "surface_distance_mm": ([5, 5, 5], [4, 5, 6]),
    "hd95_mm": ([5, 5, 5], [4, 5, 6]),
    "nsd_2mm": ([0.5, 0.5, 0.5], [0.6, 0.5, 0.4]),
}


@pytest.mark.parametrize("metric", BETTER)
def test_what_is_better_depends_on_the_metric(metric):
    assert compare(*BETTER[metric], metric).n_better == 1


def test_a_volume_error_counts_by_its_size():
    a, b = run([90, 75, 80], "predicted_ml"), run([71, 85, 79], "predicted_ml")  # of 80
    (row,) = compare_scores({"a": a}, {"b": b}, metrics=["absolute_volume_error_ml"])
    assert (row.mean_a, row.mean_b) == (5, 5)
    assert row.n_better == 1  # 9 for 10; 5 for 5; 1 for 0


def test_exchanging_the_sides_changes_the_signs():
    there, back = compare(A, B), compare(B, A)
    assert back.difference == -there.difference
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=2e-3)
    assert back.p == there.p
    assert back.n_better == 20 - there.n_better


def test_the_interval_is_repeatable_and_holds_the_difference():
    row = compare(A, B)
    assert compare(A, B) == row
    assert row.low < row.difference < row.high


def test_the_interval_is_close_to_students_where_differences_are_normal():
    differences = np.random.default_rng(1).normal(0.05, 0.02, 100)
    row = compare(np.full(100, 0.5), 0.5 + differences)
    margin = 1.984 * differences.std(ddof=1) / 10
    assert row.high - row.low == pytest.approx(2 * margin, rel=0.05)
    assert (row.low + row.high) / 2 == pytest.approx(differences.mean(), abs=0.001)


def test_the_p_value_is_wilcoxons():
    row = compare(A, B)
    assert row.p == pytest.approx(wilcoxon(B - A, method="exact").pvalue)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([0.1, 0.2], 0.5),  # the least p two cases can give: 2 / 2**2
        ([0.1, 0.2, 0.3, 0.4, 0.5], 0.0625),  # 2 / 2**5
        ([0.1, 0.1, 0.1, 0.1, 0.1], 0.0625),  # ties: by all signs
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0, 0], 0.0625),  # cases that do not differ are left out
        ([0.1, -0.1], 1),
        ([0, 0, 0], 1),
    ],
)
def test_the_p_value_of_few_cases_is_exact(differences, p):
    assert compare(np.zeros(len(differences)), np.array(differences)).p == pytest.approx(p)


def test_equal_sides_do_not_differ():
    row = compare(A, A)
    assert (row.difference, row.low, row.high, row.p, row.n_better) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_equal_differences_have_an_interval_of_one_value(n):
    row = compare(np.zeros(n), np.full(n, 0.25))
    assert (row.low, row.high) == (0.25, 0.25)


@pytest.mark.parametrize("differences", [[0, 0.1], [0, 0, 0, 0, 1], [0.1, 0.1, 0.1, 0.2]])
def test_few_or_coarse_differences_have_a_finite_interval_and_no_warning(differences):
    row = compare(np.zeros(len(differences)), np.array(differences))
    assert min(differences) <= row.low <= row.difference <= row.high <= max(differences)


def test_runs_of_a_side_are_averaged_case_by_case():
    a = {"a": run([0.5, 0.6, 0.7])}
    b = {"b1": run([0.5, 0.7, 0.9]), "b2": run([0.7, 0.7, 0.7])}
    (row,) = compare_scores(a, b, metrics=["dice"])
    assert row == compare([0.5, 0.6, 0.7], [0.6, 0.7, 0.8])


def test_folds_of_a_side_count_as_one_run():
    a, b = run(A), run(B)
    (whole,) = compare_scores({"a": a}, {"b": b}, metrics=["dice"])
    folds = {str(fold): b[fold::3] for fold in range(3)}
    assert compare_scores({"a": a}, folds, metrics=["dice"]) == [whole]
    overlapping = {**folds, "more": b[:2]}
    with pytest.raises(
        ValueError, match=r"no score of case .* \(expected the same cases and labels"
    ):
        compare_scores({"a": a}, overlapping, metrics=["dice"])


def test_errors_of_runs_do_not_cancel():
    b = {"up": run([90, 90], "predicted_ml"), "down": run([70, 70], "predicted_ml")}
    (row,) = compare_scores({"a": run([80, 80], "predicted_ml")}, b, metrics=[list(METRICS)[-1]])
    assert row.mean_b == 10


def test_runs_that_repeat_a_side_do_not_differ_by_rounding():
    again = {str(i): run(A) for i in range(3)}  # (x + x + x) / 3 is not always x
    (row,) = compare_scores({"a": run(A)}, again, metrics=["dice"])
    assert (row.difference, row.p, row.n_better) == (0, 1, 0)


def test_a_distance_counts_where_every_run_has_one():
    a = {"a": run([1.0, 2.0, 3.0, 9.0], "hd95_mm")}
    b = {"b1": run([2.0, 3.0, 4.0, None], "hd95_mm"), "b2": run([2.0, None, 4.0, 9.0], "hd95_mm")}
    (row,) = compare_scores(a, b, metrics=["hd95_mm"])
    assert (row.n, row.mean_a, row.mean_b, row.difference) == (2, 2, 3, 1)


def test_fewer_than_two_distances_give_no_difference():
    row = compare([1.0, 2.0], [None, 2.0], "hd95_mm")
    assert row.n == 1
    assert row.difference is row.low is row.high is row.p is row.n_better is None


def moved(scores):
    return [replace(score, reference_ml=81.0) for score in scores]


# a, b, metrics, what the one line says
REFUSED = {
    "B lacks a case": (
        run([1, 1, 1]),
        run([1, 1]),
        "b: no score of case case_2 label 1, but a has",
    ),
    "A lacks a case": (
        run([1, 1]),
        run([1, 1, 1]),
        "a: no score of case case_2 label 1, but b has",
    ),
    "many": (run([1] * 9), run([1] * 2), "case case_6 label 1 and 2 more, but a has"),
    "a label": (
        run([1, 1]),
        run([1, 1], label=2),
        "b: no score of case case_0 label 1, case case_1",
    ),
    "one case": (run([1]), run([1]), "a: 1 case of label 1 (expected two or more)"),
    "nothing": ([], [], "a: no scores (expected two cases or more)"),
    "references": (run([1, 1]), moved(run([1, 1])), "b: another reference volume than in a for"),
}


@pytest.mark.parametrize(("a", "b", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_scores_that_cannot_be_compared(a, b, message):
    with pytest.raises(ValueError, match=r".") as raised:
        compare_scores({"a": a}, {"b": b})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_metric_is_named():
    with pytest.raises(ValueError, match=r"metric \(='iou'\) must be one of dice, precision"):
        compare_scores({"a": run(A)}, {"b": run(B)}, metrics=["iou"])


def test_runs_are_files_or_folders_with_one(tmp_path):
    (tmp_path / "eval").mkdir()
    for place in ("scores.json", "eval/scores.json"):
        path = write_summary(run(A), tmp_path / place)
        expected = {str(path): run(A)}
        assert read_runs([path]) == expected
        assert read_runs([tmp_path]) == {str(tmp_path): run(A)}
        path.unlink()


def test_a_folder_without_scores_and_a_run_given_twice_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"neither scores\.json nor eval/scores\.json in it"):
        read_runs([tmp_path])
    write_summary(run(A), tmp_path / "scores.json")
    with pytest.raises(ValueError, match="given twice on one side"):
        read_runs([tmp_path, tmp_path])


DIFFERENCES = [compare(A, B), compare([1.0, 2.0], [None, 2.0], "hd95_mm")]


def test_a_comparison_as_json(tmp_path):
    path = write_comparison(DIFFERENCES, tmp_path / "c.json", a=["one"], b=["two", "three"])
    content = json.loads(path.read_text())
    assert (content["a"], content["b"]) == (["one"], ["two", "three"])
    assert content["differences"][0]["p"] == DIFFERENCES[0].p
    assert content["differences"][1]["p"] is None


def test_a_comparison_as_csv(tmp_path):
    with write_comparison(DIFFERENCES, tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["difference"]) == DIFFERENCES[0].difference
    assert (rows[1]["metric"], rows[1]["n"], rows[1]["p"]) == ("hd95_mm", "1", "")


def test_the_table_fits_a_terminal():
    wide = [replace(BASE, case=str(i), predicted_ml=ml) for i, ml in enumerate([12345.6, 5000, 80])]
    rows = compare_scores({"a": wide}, {"b": [replace(s, predicted_ml=80.0) for s in wide]})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(comparison_table([*DIFFERENCES, compare(A, A + 0.1), *rows]))
    cells = [line.split() for line in console.export_text().splitlines()]
    dice = DIFFERENCES[0]
    means = f"1 Dice {dice.mean_a:.3f} {dice.mean_b:.3f} {dice.difference:+.3f}"
    certainty = f"{dice.low:+.3f} .. {dice.high:+.3f} {dice.p:.3f} {dice.n_better}/20"
    assert f"{means} {certainty}".split() in cells
    assert any("<0.001" in line for line in cells)
    assert ["1", "HD95", "mm", "-", "-", "-", "-", "-", "-/1"] in cells
    assert any(line[-1:] == ["2/3"] and "5728.5" in line for line in cells)


# --- monai-attn compare


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["monai-attn", "compare", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


@pytest.fixture
def runs(tmp_path):
    for name, values in (("a", A), ("b", B), ("b2", B + 0.1)):
        write_summary(run(values), tmp_path / name / "eval" / "scores.json")
    return tmp_path


def test_compare_prints_a_table_and_writes_files(runs, tmp_path, monkeypatch, capsys):
    files = [tmp_path / "new" / f"c.{suffix}" for suffix in ("json", "csv")]
    outputs = [word for file in files for word in ("-o", file)]
    more = ["--b", runs / "b2", "--metric", "dice", "--metric", "hd95_mm"]
    assert command(monkeypatch, runs / "a", runs / "b", *more, *outputs) == 0
    printed = capsys.readouterr()
    assert "HD95 mm" in printed.out
    assert printed.err == ""
    content = json.loads(files[0].read_text())
    assert content["b"] == [str(runs / "b"), str(runs / "b2")]
    assert [row["metric"] for row in content["differences"]] == ["dice", "hd95_mm"]
    assert content["differences"][0]["mean_b"] == pytest.approx(B.mean() + 0.05)
    assert len(files[1].read_text().splitlines()) == 3


# arguments, what the one line says
WRONG = {
    "no scores": (("{a}", "{tmp}"), "neither scores.json nor eval/scores.json in it"),
    "metric": (("{a}", "{b}", "--metric", "iou"), "error: metric (='iou') must be one of dice"),
    "suffix": (("{a}", "{tmp}", "-o", "c.txt"), "error: c.txt: unknown suffix (got '.txt'"),
    "twice": (("{a}", "{b}", "--a", "{a}"), "given twice on one side"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_compare_refuses_in_one_line(runs, arguments, message, monkeypatch, capsys):
    places = {"a": runs / "a", "b": runs / "b", "tmp": runs}
    assert command(monkeypatch, *[word.format(**places) for word in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
