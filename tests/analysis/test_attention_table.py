"""Where the gates of a run looked: maps and labels as files, paired, checked and put into a table."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from monai_attn.analysis.attention_table import (
    _percent,
    attention_of_run,
    attention_rows,
    attention_table,
    read_map,
    write_attention,
)
from monai_attn.cli.app import app
from monai_attn.io.grid import Grid
from monai_attn.io.writer import write_labels, write_map
from monai_attn.metrics.attention_numbers import gate_numbers
from run_folders import stored_map, write_case, write_rows
from scans import AFFINE, SHAPE, fails, sheared

STORED = np.linspace(0, 255, 24).astype(np.uint8).reshape(SHAPE)
LABELS = (np.arange(24).reshape(SHAPE) // 10).astype(np.uint8)  # 0, 1 and 2
ORGANS = np.where(np.arange(24).reshape(SHAPE) < 6, 7, 300)


def grid(path, affine=AFFINE):
    return Grid(SHAPE, affine, 1, path)


def write_attention_map(path, stored=STORED, affine=AFFINE):
    return write_map(path, stored, grid(path, affine))


@pytest.fixture
def run(tmp_path):
    """What a run of two cases leaves: labels, and the maps of two gates."""
    folder = tmp_path / "out"
    for case, stored in (("a", STORED), ("b", STORED[::-1])):
        write_labels(folder / f"{case}_seg.nii.gz", LABELS, grid(folder / "none"))
        write_attention_map(folder / f"{case}_attention_1.nii.gz", stored)
        write_attention_map(folder / f"{case}_attention_2.nii.gz", 255 - stored)
    return folder


def test_a_map_is_read_as_it_was_stored(tmp_path):
    every = np.arange(256).astype(np.uint8).reshape(8, 8, 4)
    path = tmp_path / "a_attention_1.nii.gz"
    write_map(path, every, Grid(every.shape, AFFINE, 1, path))
    np.testing.assert_array_equal(read_map(path)[1], every)


def test_the_gates_of_each_case_are_held_against_its_labels(run):
    found = attention_of_run(run)
    assert [(gate.case, gate.level) for gate in found] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert found[0].numbers == gate_numbers(STORED, LABELS)
    assert found[3].numbers == gate_numbers(255 - STORED[::-1], LABELS)


def test_one_label_map_stands_for_its_case(run):
    assert attention_of_run(run / "b_seg.nii.gz") == attention_of_run(run)[2:]


def test_other_labels_are_paired_by_name(run, tmp_path):
    organs = tmp_path / "organs"
    for case, labels in (("a", ORGANS), ("b", 307 - ORGANS)):
        write_labels(organs / f"{case}.nii.gz", labels, grid(organs / "none"))
    found = attention_of_run(run, organs)
    assert found[0].numbers == gate_numbers(STORED, ORGANS)
    assert found[2].numbers == gate_numbers(STORED[::-1], 307 - ORGANS)
    one = attention_of_run(run / "b_seg.nii.gz", organs / "b.nii.gz")
    assert [gate.numbers for gate in one] == [gate.numbers for gate in found[2:]]


def test_the_labels_of_another_run_are_not_its_maps(run, tmp_path):
    other = tmp_path / "other"
    for case in "ab":
        write_labels(other / f"{case}_seg.nii.gz", 2 - LABELS, grid(other / "none"))
        write_attention_map(other / f"{case}_attention_1.nii.gz")
    found = attention_of_run(run, other)
    assert [gate.case for gate in found] == ["a", "a", "b", "b"]
    assert found[0].numbers == gate_numbers(STORED, 2 - LABELS)


def test_more_labels_than_cases_will_do_and_fewer_will_not(run, tmp_path):
    organs = tmp_path / "organs"
    for case in "abc":
        write_labels(organs / f"{case}.nii.gz", ORGANS, grid(organs / "none"))
    assert [gate.case for gate in attention_of_run(run, organs)] == ["a", "a", "b", "b"]
    (organs / "b.nii.gz").unlink()
    fails(
        f"{organs}: no labels for {run / 'b_seg.nii.gz'} (expected a label",
        attention_of_run,
        run,
        organs,
    )


def test_rows_begin_with_what_has_most_attention(run):
    (first, second, third), *_ = _by_gate(attention_rows(attention_of_run(run), {2: "spine"}))
    assert [first["name"], second["name"], third["name"]] == ["1", "spine", "no label"]
    assert first["share"] > second["share"] > third["share"]
    assert sum(row["share"] for row in (first, second, third)) == pytest.approx(1)
    assert second["enrichment"] == pytest.approx(second["share"] / second["volume_share"])


def _by_gate(rows):
    keys = dict.fromkeys((row["case"], row["gate"]) for row in rows)
    return [[row for row in rows if (row["case"], row["gate"]) == key] for key in keys]


def test_a_table_is_written_as_json_and_csv(run, tmp_path):
    gates = attention_of_run(run)
    rows = attention_rows(gates)
    content = json.loads(write_attention(gates, tmp_path / "a.json").read_text())
    assert content == {"gates": rows}
    with write_attention(gates, tmp_path / "a.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [float(row["share"]) for row in cells] == [row["share"] for row in rows]


def test_a_closed_gate_is_shown_and_written_without_shares(tmp_path):
    out = tmp_path / "out"
    write_labels(out / "a_seg.nii.gz", LABELS, grid(out / "none"))
    write_attention_map(out / "a_attention_1.nii.gz", np.ones(SHAPE, np.uint8))
    gates = attention_of_run(out)
    assert {row["share"] for row in attention_rows(gates)} == {None}
    attention_table(gates)
    assert '"share": null' in write_attention(gates, tmp_path / "a.json").read_text()


def test_a_small_share_is_no_zero():
    assert [_percent(share) for share in (None, 0.0, 0.00041, 0.0921, 1.0)] == [
        "-",
        "0.0%",
        "0.041%",
        "9.2%",
        "100.0%",
    ]


def test_maps_that_are_missing_are_one_line(tmp_path):
    path = write_labels(tmp_path / "a_seg.nii.gz", LABELS, grid(tmp_path / "none"))
    fails(
        f"{path}: no attention map next to it (expected one such as a_attention_1.nii.gz)",
        attention_of_run,
        tmp_path,
    )
    fails("with attention", attention_of_run, path)
    fails("gone: no such file or folder", attention_of_run, tmp_path / "gone")


def test_a_map_alone_is_no_run(run):
    fails("no label map, only maps", attention_of_run, run / "a_attention_1.nii.gz")
    for path in run.glob("*_seg.nii.gz"):
        path.unlink()
    fails("no label map, only maps", attention_of_run, run)


def test_two_grids_are_one_line_that_names_both(run, tmp_path):
    organs = tmp_path / "a.nii.gz"
    write_labels(organs, ORGANS, grid(organs, sheared()))
    target = run / "a_seg.nii.gz"
    fails(f"{organs}: is not on the grid of {target}", attention_of_run, target, organs)


def test_a_map_of_anything_else_is_refused(run):
    path = run / "a_attention_1.nii.gz"
    path.unlink()
    write_labels(path, LABELS * 100, grid(path))
    fails(f"{path}: no attention map (expected 0 to 1", attention_of_run, run)


def test_the_command_says_where_each_gate_looks(run, tmp_path):
    words = ["attention", str(run), "--name", "2=spine", "-o", str(tmp_path / "table.csv")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "spine" in result.output
    assert "enrichment" in result.output
    assert max(map(len, result.output.splitlines()[:20])) <= 80
    assert (tmp_path / "table.csv").read_text().startswith("case,gate,mean,seen,dead")


def test_labels_have_the_names_that_the_run_gave_them(tmp_path):
    out = tmp_path / "out"
    write_rows(out, write_case(out, attention={1: stored_map(0.5)}))
    shown = [
        CliRunner().invoke(app, ["attention", str(out), *more], catch_exceptions=False).output
        for more in ((), ("--name", "1=head"), ("--labels", str(out)))
    ]
    assert ["pancreas" in text for text in shown] == [True, False, False]
    assert "head" in shown[1]


@pytest.mark.parametrize("text", ["spine", "=spine", "7=", "-1=spine"])
def test_a_name_needs_a_number(run, text):
    with pytest.raises(ValueError, match=f"--name {text}: a whole number and a name expected"):
        CliRunner().invoke(app, ["attention", str(run), "--name", text], catch_exceptions=False)
