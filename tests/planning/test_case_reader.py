"""Labelled cases are measured one by one; and the command that shows what follows."""

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_attn import cli
from monai_attn.cli.plan import _text
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.planning.case_reader import read_cases
from monai_attn.planning.training_memory import SHARE, training_memory


def test_cases_say_what_is_in_their_files(phantoms):
    cases = find_cases(phantoms)
    classes = LabelClasses(("background", "pancreas"), {0: 0, 1: 1})
    for case, facts in zip(cases, read_cases(cases, classes), strict=True):
        label = nib.load(case["label"])
        count = np.count_nonzero(label.get_fdata() == 1)
        assert facts.structures[1].ml == pytest.approx(count * 7**3 / 1000)
        assert sorted(facts.size) == sorted(label.shape)
        assert -100 < np.median(facts.structures[1].hu) < 150


def test_what_becomes_background_is_not_sampled(phantoms):
    others = LabelClasses(("background", "liver"), {0: 0, 1: 0, 2: 1})
    facts = next(read_cases(find_cases(phantoms), others))
    assert facts.structures[1].hu.size == 0


def run(monkeypatch, *arguments, command="plan"):
    """`monai-attn COMMAND ARGUMENTS` in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["monai-attn", command, *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code or 0


@pytest.fixture
def copy(phantoms, tmp_path):
    return shutil.copytree(phantoms, tmp_path / "data")


def test_a_plan_does_not_replace_the_list_of_its_cases(monkeypatch, capsys, copy):
    listed = copy / "dataset.json"
    before = listed.read_text()
    assert run(monkeypatch, copy, "-o", listed) == 2
    assert (
        f"{listed}: was not written by this command, so it is not replaced"
        in capsys.readouterr().err
    )
    assert listed.read_text() == before


def relabel(case, value):
    """Give the labels of a case another value."""
    label = nib.load(case["label"])
    labels = np.where(label.get_fdata() > 0, value, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, label.affine), case["label"])


def lines(text, kind):
    return [line for line in text.splitlines() if line.startswith(f"{kind}: ")]


def test_plan_shows_the_values_and_writes_them(phantoms, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    plan = tmp_path / "new" / "plan.json"
    given = ("--label", "pancreas", "--memory", "2GiB", "-o", plan)
    assert run(monkeypatch, phantoms, *given) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if not line.startswith(("data: ", "plan: "))]
    assert max(map(len, lines)) <= 80  # but for paths
    written = json.loads(plan.read_text())
    assert written["spacing"] == [7, 7, 7]
    assert written["labels"] == ["1=pancreas"]
    assert list(written["fingerprint"]["classes"]) == ["pancreas"]
    assert "4 cases" in printed
    assert all(name in printed for name in written["reasons"])
    assert "2.0 GiB allowed" in printed
    assert "disk: 1 MiB for the cache" in printed


def test_values_are_shown_as_they_are():
    assert _text([1.02, 2.0, 10.0]) == "[1.02, 2, 10]"
    assert _text([[2, 2, 1], 2]) == "[[2, 2, 1], 2]"
    assert _text({"0": 0, "1": 0, "7": 1}) == "7 to 1, others to 0"
    assert _text({"0": 0, "1": 1, "2": 1}) == "1 to 1, 2 to 1"


def test_without_options_the_classes_are_the_bundles_and_nothing_is_written(
    copy, tmp_path, monkeypatch, capsys
):
    relabel(find_cases(copy)[0], 2)  # which the bundle takes for pancreas too
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, copy) == 0
    printed = capsys.readouterr().out
    assert "pancreas (ml)" in printed
    assert "num_classes" not in printed
    assert "free on" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_faults_and_doubts_are_those_of_training(copy, tmp_path, monkeypatch, capsys):
    cases = find_cases(copy)
    with Path(cases[0]["image"]).open("r+b") as file:
        file.truncate(1000)
    relabel(cases[1], 3)
    label = nib.load(cases[2]["label"])
    nib.save(
        nib.Nifti1Image(label.get_fdata()[:-1].astype(np.uint8), label.affine), cases[2]["label"]
    )
    assert run(monkeypatch, copy, "-o", tmp_path / "plan.json") == 2
    errors = capsys.readouterr().err
    assert len(lines(errors, "error")) == len(errors.splitlines()) == 3
    assert f"error: {cases[1]['label']}: unknown label values (got 3, expected 0, 1, 2)" in errors
    assert run(monkeypatch, copy, "-o", tmp_path / "run", command="train") == 2
    assert capsys.readouterr().err == errors
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_is_doubtful_is_a_warning_once(copy, monkeypatch, capsys):
    cases = find_cases(copy)
    relabel(cases[0], 0)
    image = nib.load(cases[1]["image"])
    voxels = image.get_fdata(dtype=np.float32)
    voxels[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(voxels, image.affine), cases[1]["image"])
    assert run(monkeypatch, copy) == 0
    printed = capsys.readouterr()
    hole, unlabelled = sorted(lines(printed.err, "warning"))
    assert hole.startswith(f"warning: {cases[1]['image']}: ")
    assert unlabelled.startswith(f"warning: {cases[0]['label']}: no voxel is labelled")
    assert "pancreas (ml, not in 1)" in printed.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "plan.yaml"], "plan.yaml: ends in '.yaml'; a .json file expected"),
        (
            ["--label", "9=liver"],
            "label '9=liver': no label map has this value (got 9, expected one of 1)",
        ),
        (["--label", "liver"], "neither VALUE=NAME nor a declared name"),
        (["--memory", "much"], "must be an amount above 0"),
        (["--memory", "5MiB"], "is too little"),
        (["--bundle", "none"], "no bundle there"),
    ],
)
def test_what_a_user_can_mend_is_one_line(options, message, phantoms, monkeypatch, capsys):
    assert run(monkeypatch, phantoms, *options) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.parametrize(
    ("planned", "asked", "name"),
    [("1=gland", [], "gland"), ("1=gland", ["--label", "1=tail"], "tail"), (None, [], "pancreas")],
)
def test_train_takes_the_classes_of_a_plan_unless_told_otherwise(
    planned, asked, name, phantoms, tmp_path, monkeypatch
):
    def stop(*_, **__):
        raise ValueError("far enough")

    monkeypatch.setattr("monai_attn.training.run.train_run", stop)
    plan, made = tmp_path / "plan.json", tmp_path / "run"
    label = ["--label", planned] if planned else []
    assert run(monkeypatch, phantoms, *label, "--memory", "300MiB", "-o", plan) == 0
    assert run(monkeypatch, phantoms, "--plan", plan, *asked, "-o", made, command="train") == 2
    configs = [
        json.loads((made / "configs" / f"{n}.json").read_text()) for n in ("metadata", "train")
    ]
    outputs = configs[0]["network_data_format"]["outputs"]["pred"]
    assert outputs["channel_def"] == {"0": "background", "1": name}
    assert configs[1]["spacing"] == [7, 7, 7]
    assert "label_map" not in json.loads((made / "run.json").read_text())["settings"]


def test_memory_is_a_share_of_what_is_free(monkeypatch):
    monkeypatch.setattr("monai_attn.planning.training_memory.free_memory", lambda: 1000)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert training_memory() == (int(SHARE * 1000), False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (500, 10_000))
    assert training_memory() == (int(SHARE * 500), True)
