"""Labelled cases are read one by one, each fault in a line of its own; and the command that shows it all."""

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_attn import cli
from monai_attn.cli.plan import _text
from monai_attn.data.cases import find_cases
from monai_attn.planning.cases import parse_classes, read_cases
from monai_attn.planning.memory import SHARE, training_memory
from scans import fails


def test_labels_are_named_as_value_and_name():
    assert parse_classes(["7=pancreas", " 2 = left kidney ", "3=pancreas"]) == {
        7: "pancreas",
        2: "left kidney",
        3: "pancreas",
    }


@pytest.mark.parametrize("text", ["7", "pancreas=7", "0=background", "7=", "7=$x", "-1=a", "7=a@b"])
def test_what_is_no_value_and_name_is_refused(text):
    with pytest.raises(ValueError, match="must be VALUE=NAME"):
        parse_classes([text])


def test_a_value_is_named_once():
    fails("7 is pancreas already", parse_classes, ["7=pancreas", "7=liver"])


def test_cases_say_what_is_in_their_files(phantoms):
    cases = find_cases(phantoms)
    for case, facts in zip(cases, read_cases(cases), strict=True):
        label = nib.load(case["label"])
        count = np.count_nonzero(label.get_fdata() == 1)
        assert facts.structures[1].ml == pytest.approx(count * 7**3 / 1000)
        assert sorted(facts.size) == sorted(label.shape)
        assert -100 < np.median(facts.structures[1].hu) < 150


def run(monkeypatch, *arguments):
    """`monai-attn plan ARGUMENTS` in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["monai-attn", "plan", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code or 0


@pytest.fixture
def copy(phantoms, tmp_path):
    return shutil.copytree(phantoms, tmp_path / "data")


def test_plan_shows_the_values_and_writes_them(phantoms, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    plan = tmp_path / "new" / "plan.json"
    given = ("--label", "1=pancreas", "--memory", "2GiB", "-o", plan)
    assert run(monkeypatch, phantoms, *given) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines()[:-1])) <= 80  # the last line is the file's path
    written = json.loads(plan.read_text())
    assert written["spacing"] == [7, 7, 7]
    assert written["num_classes"] == 2
    assert list(written["fingerprint"]["classes"]) == ["pancreas"]
    assert "4 cases" in printed
    assert all(name in printed for name in written["reasons"])
    assert "2.0 GiB allowed" in printed


def test_values_are_shown_as_they_are():
    assert _text([1.02, 2.0, 10.0]) == "[1.02, 2, 10]"
    assert _text([[2, 2, 1], 2]) == "[[2, 2, 1], 2]"
    assert _text({"1": 0, "7": 1}) == "7 to 1, others to 0"
    assert _text({"1": 1, "2": 1}) == "1 to 1, 2 to 1"
    assert _text({"sw_overlap": 0.5, "focus": False}) == "sw_overlap 0.5, focus false"


def test_without_options_memory_is_what_is_free_and_nothing_is_written(
    phantoms, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, phantoms) == 0
    assert "free on" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_every_case_that_cannot_be_read_is_a_line_and_nothing_is_planned(
    copy, tmp_path, monkeypatch, capsys
):
    cases = find_cases(copy)
    with Path(cases[0]["image"]).open("r+b") as file:
        file.truncate(1000)
    label = nib.load(cases[2]["label"])
    nib.save(
        nib.Nifti1Image(label.get_fdata()[:-1].astype(np.uint8), label.affine), cases[2]["label"]
    )
    assert run(monkeypatch, copy, "-o", tmp_path / "plan.json") == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {cases[0]['image']}: ")
    assert errors[1].startswith(f"error: {cases[2]['label']}: is not on the grid of")
    assert "2 of 4 cases cannot be read" in printed.err
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "plan.yaml"], "plan.yaml: ends in '.yaml'; a .json file expected"),
        (["--label", "9=liver"], "no case has label 9 (liver); the labels there are [1]"),
        (["--label", "liver"], "must be VALUE=NAME"),
        (["--memory", "much"], "must be an amount above 0"),
        (["--memory", "5MiB"], "is too little"),
        (["--bundle", "none"], "no bundle there"),
    ],
)
def test_what_a_user_can_mend_is_one_line(options, message, phantoms, monkeypatch, capsys):
    assert run(monkeypatch, phantoms, *options) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_memory_is_a_share_of_what_is_free(monkeypatch):
    monkeypatch.setattr("monai_attn.planning.memory.free_memory", lambda: 1000)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert training_memory() == (int(SHARE * 1000), False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (500, 10_000))
    assert training_memory() == (int(SHARE * 500), True)
