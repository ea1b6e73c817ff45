"""All folds are trained, each in its own folder, and scored together."""

import csv
import json
import re
import shutil

import pytest
import torch

import monai_attn
from command_line import run
from monai_attn.bundle.ensemble import open_bundles
from monai_attn.bundle.folds import members_of
from monai_attn.datasets.listed_splits import read_split
from monai_attn.datasets.splits import fold_numbers
from monai_attn.distributed.process_info import ProcessInfo
from monai_attn.metrics.scores import CaseScore, read_scores, write_summary
from monai_attn.training import cross_validation as module
from monai_attn.training.cross_validation import CrossValidation
from monai_attn.training.request import Request

ONE_EPOCH = ("--epochs", 1, "--set", "val_interval=1", "--device", "cpu")


def request(bundle, data, **options):
    return Request(bundle=str(bundle), data=str(data), **{"folds": 2, **options})


def score(case, dice=0.5):
    return CaseScore(case, 1, dice, dice, dice, 1.0, 2.0, 0.5, 10.0, 10.0)


@pytest.fixture
def scored(tiny_bundle, phantoms, tmp_path):
    """Two folds that look trained, with scores of two cases each."""
    validated = CrossValidation(tmp_path / "cv", request(tiny_bundle, phantoms))
    for fold, cases in enumerate((["d", "a"], ["c", "b"])):
        folder = validated.folder(fold)
        shutil.copytree(tiny_bundle, folder)
        write_summary([score(case, fold / 2) for case in cases], folder / "eval" / "scores.json")
        validated.record(fold)
    return validated


def test_folds_are_counted_or_given(phantoms, tmp_path):
    assert fold_numbers(phantoms, folds=2) == (0, 1)
    cases = [
        {"image": str(image), "label": str(phantoms / "labelsTr" / image.name), "fold": fold}
        for image, fold in zip(sorted((phantoms / "imagesTr").iterdir()), (3, 1, 3, 7), strict=True)
    ]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"training": cases}))
    assert fold_numbers(listed) == (1, 3, 7)
    with pytest.raises(ValueError, match=r"gives 3 folds .*, not 5"):
        fold_numbers(listed, folds=5)


@pytest.mark.parametrize("folds", [None, 1, 5])
def test_more_folds_than_cases_are_refused(phantoms, folds):
    with pytest.raises(ValueError, match=r"folds \(=\d\) must be 2 or more, and at most the 4"):
        fold_numbers(phantoms, folds=folds)


def test_a_data_set_with_its_own_split_has_no_folds(phantoms, tmp_path):
    cases = [
        {"image": str(image), "label": str(phantoms / "labelsTr" / image.name)}
        for image in sorted((phantoms / "imagesTr").iterdir())
    ]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"training": cases[:2], "validation": cases[2:]}))
    with pytest.raises(ValueError, match="defines its own validation cases"):
        fold_numbers(listed, folds=2)


def test_a_fold_without_enough_cases_is_found_before_the_first_is_trained(
    tiny_bundle, phantoms, tmp_path
):
    asked = request(tiny_bundle, phantoms, settings={"batch_size": 3})
    with pytest.raises(ValueError, match=r"too few cases for training \(got 2, expected 3"):
        CrossValidation(tmp_path / "cv", asked)
    assert not (tmp_path / "cv").exists()


def test_scores_are_pooled_with_the_fold_of_each_case(scored):
    scores = scored.pool_scores()
    assert [(one.case, one.dice) for one in scores] == [
        ("a", 0.0),
        ("b", 0.5),
        ("c", 0.5),
        ("d", 0.0),
    ]
    assert read_scores(scored.run / "scores.json") == scores
    with (scored.run / "scores.csv").open(newline="") as file:
        assert [(row["case"], row["fold"]) for row in csv.DictReader(file)] == [
            ("a", "0"),
            ("b", "1"),
            ("c", "1"),
            ("d", "0"),
        ]


def test_cases_of_one_name_in_two_folds_are_told_apart(scored):
    write_summary([score("a")], scored.folder(1) / "eval" / "scores.json")
    assert [one.case for one in scored.pool_scores()] == ["fold_0/a", "fold_0/d", "fold_1/a"]


def test_the_folder_stands_for_all_its_bundles(scored, tiny_bundle):
    assert members_of(scored.run) == [scored.folder(0), scored.folder(1)]
    assert members_of(tiny_bundle) == [tiny_bundle]
    with pytest.raises(ValueError, match=r"fold_1: has the same weights as .*fold_0"):
        open_bundles([scored.run], "cpu")


def test_a_missing_or_unfinished_fold_is_named(scored):
    (scored.folder(1) / "models" / "model.pt").unlink()
    with pytest.raises(ValueError, match=r"fold_1: not trained to its end, as 2 folds of"):
        members_of(scored.run)
    scored.complete = {"1": 1}
    scored.write()
    with pytest.raises(ValueError, match=r"fold_0: not trained to its end.*--fold all"):
        members_of(scored.run)
    (scored.run / "folds.json").write_text("[]")
    with pytest.raises(ValueError, match=r"folds\.json: no list of folds"):
        members_of(scored.run)


def test_a_fold_is_complete_at_its_number_of_epochs(scored):
    assert scored.is_complete(0)
    path = scored.folder(0) / "configs" / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"epochs": 7}))
    assert not scored.is_complete(0), "it was given more epochs"
    (scored.folder(1) / "eval" / "scores.json").unlink()
    assert not scored.is_complete(1)


def test_what_cannot_be_resumed_is_said(scored, tiny_bundle, phantoms, tmp_path):
    again = CrossValidation(scored.run, scored.request, resume=True)
    assert again.complete == scored.complete
    with pytest.raises(
        ValueError, match=r"folds\.json: other folds than at its start \(got .0, 1, 2"
    ):
        CrossValidation(scored.run, request(tiny_bundle, phantoms, folds=3), resume=True)
    with pytest.raises(ValueError, match=r"cv: is not empty"):
        CrossValidation(scored.run, scored.request)
    with pytest.raises(ValueError, match=r"nothing: no cross-validation to resume"):
        CrossValidation(tmp_path / "nothing", scored.request, resume=True)


def test_folds_that_were_trained_one_by_one_are_taken_over(scored):
    (scored.run / "folds.json").unlink()
    (scored.folder(0) / "run.json").write_text("{}")
    assert CrossValidation(scored.run, scored.request, resume=True).complete == {}


def test_several_processes_are_refused(tiny_bundle, phantoms, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "read_process_info", lambda: ProcessInfo(size=2))
    with pytest.raises(ValueError, match=r"one process, one after the other \(got 2"):
        CrossValidation(tmp_path / "cv", request(tiny_bundle, phantoms))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fold", "all", "--validation", "0.5"), "--fold all: .*Leave out --validation"),
        (("--fold", "first"), "--fold first: no fold .*number from 0, or all"),
        (("--fold", "-1"), "--fold -1: no fold"),
    ],
)
def test_contradicting_options(tmp_path, monkeypatch, capsys, words, message):
    assert run(monkeypatch, "train", tmp_path, "-o", tmp_path / "cv", *words) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


@pytest.mark.slow
def test_train_all_folds_and_segment_with_them(
    tiny_bundle, phantoms, tmp_path, monkeypatch, capsys
):
    cv = tmp_path / "cv"
    words = ("train", phantoms, "--bundle", tiny_bundle, "--label", "1=pancreas", "--folds", 2)
    assert run(monkeypatch, *words, *ONE_EPOCH, "-o", cv, "--fold", "all") == 0
    said = capsys.readouterr()
    assert f"segment with all folds: monai-attn segment SCANS -o out --bundle {cv}" in said.out
    assert "fold_1: mean Dice of 2 cases: pancreas" in said.err
    scores = read_scores(cv / "scores.json")
    validated = [
        case["image"]
        for fold in range(2)
        for case in read_split(cv / f"fold_{fold}" / "split.json")["validation"]
    ]
    assert len(scores) == len(set(validated)) == 4
    chosen = json.loads((cv / "folds.json").read_text())["cleaning"][0]["chosen"]
    for fold in range(2):
        config = json.loads((cv / f"fold_{fold}" / "configs" / "inference.json").read_text())
        assert config["keep_largest"] == ([1] if "keep_largest" in chosen else [])

    assert run(monkeypatch, *words, *ONE_EPOCH, "-o", tmp_path / "one", "--fold", 1) == 0
    ours, alone = (
        torch.load(folder / "models" / "model.pt", weights_only=True)
        for folder in (cv / "fold_1", tmp_path / "one")
    )
    assert all(torch.equal(ours[name], alone[name]) for name in ours), "each is a normal run"

    weights = (cv / "fold_0" / "models" / "model.pt").stat().st_mtime_ns
    shutil.rmtree(cv / "fold_1")
    assert run(monkeypatch, *words, *ONE_EPOCH, "-o", cv, "--fold", "all", "--resume") == 0
    assert (cv / "fold_0" / "models" / "model.pt").stat().st_mtime_ns == weights
    again = torch.load(cv / "fold_1" / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(again[name], alone[name]) for name in again)
    assert read_scores(cv / "scores.json") == scores

    model = monai_attn.load(cv, "cpu", backend="eager")
    assert [one.root.name for one in model.bundle.members] == ["fold_0", "fold_1"]
    assert model.segment(sorted((phantoms / "imagesTr").iterdir())[0]).labels.any()
