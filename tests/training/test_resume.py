"""Continuation of a training: in its folder, and with more epochs."""

import json
from dataclasses import replace

import pytest
import torch

from monai_attn.training.resume import resume_run
from monai_attn.training.run_folder import create_run
from tests.training.training_runs import record_and_config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "/data/other"}, 'data than .got "/data/other", expected "/data/set"'),
        ({"labels": ("7=pancreas",)}, r'labels than .got \["7=pancreas"\], expected \[\]'),
        ({"fold": 1}, "fold than .got 1, expected null"),
        ({"folds": 3}, "folds than .got 3, expected 5"),
        ({"group": "(.+)"}, r'group than .got "\(\.\+\)", expected null'),
        ({"pretrained": "runs/b"}, 'pretrained than .got "runs/b", expected null'),
        (
            {"settings": {"network_def#gate": None, "spacing": [3, 3, 3]}},
            "epochs than .got the default, expected 2",
        ),
        (
            {"settings": {"network_def#gate": None, "epochs": 2}},
            r"spacing than .got the default, expected \[3, 3, 3\]",
        ),
    ],
)
def test_a_training_goes_on_as_it_was_begun(
    tmp_path, split_of_empty_files, run_request, change, said
):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    resume_run(run, run_request)
    with pytest.raises(
        ValueError, match=f"run: another {said.replace(' than ', ' than at its start ')}"
    ):
        resume_run(run, replace(run_request, **change))


def test_a_training_begun_before_there_were_groups_goes_on(
    tmp_path, split_of_empty_files, run_request
):
    create_run(tmp_path / "run", run_request, split_of_empty_files, None)
    begun = json.loads((tmp_path / "run" / "run.json").read_text())
    del begun["group"]
    (tmp_path / "run" / "run.json").write_text(json.dumps({**begun, "folds": 5}))
    resume_run(tmp_path / "run", run_request)


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_what_is_no_training_cannot_go_on(tmp_path, run_request, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"no training to resume .*run\.json"):
        resume_run(tmp_path, run_request)


def test_a_run_of_an_earlier_version_had_no_recipe(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    record = json.loads((run / "run.json").read_text())
    del record["recipe"]
    (run / "run.json").write_text(json.dumps(record))
    resume_run(run, run_request)


def longer(request, epochs):
    return replace(request, settings={**request.settings, "epochs": epochs})


def checkpoint(run, epoch, **early_stop):
    """What `resume_run` looks at of a state."""
    (run / "training").mkdir(exist_ok=True)
    state = {"epoch": epoch, "parts": {"early_stop": {"counter": 0, **early_stop}}}
    torch.save(state, run / "training" / "last.pt")


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_training_may_be_given_more_epochs(tmp_path, split_of_empty_files, run_request, done):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    if done:
        checkpoint(run, done)
    said = resume_run(run, longer(run_request, 9))["epochs"]
    assert said.startswith(f"9 instead of 2, of which {done} are done; from epoch {done + 1} on ")
    assert "cosine over all 9" in said
    record, train = record_and_config(run)
    assert train["epochs"] == record["settings"]["epochs"] == 9
    assert record["extended"] == [{"after": done, "epochs": 9}]
    assert f"After epoch {done} it was given 9" in (run / "docs" / "README.md").read_text()
    assert "epochs" not in resume_run(run, longer(run_request, 9)), "by now they are those it has"
    assert record_and_config(run) == [record, train]


@pytest.mark.parametrize(("epochs", "said"), [(1, "2 epochs are done"), ("many", "whole number")])
def test_epochs_that_are_done_stay_and_nothing_is_changed(
    tmp_path, split_of_empty_files, run_request, epochs, said
):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    checkpoint(run, 2)
    before = record_and_config(run)
    with pytest.raises(ValueError, match=said):
        resume_run(run, longer(run_request, epochs))
    assert record_and_config(run) == before


def test_a_cosine_of_monai_becomes_ours_which_can_be_made_longer(
    tmp_path, split_of_empty_files, run_request
):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    path = run / "configs" / "train.json"
    train = json.loads(path.read_text())
    schedule = train["lr_scheduler"]
    path.write_text(
        json.dumps({**train, "lr_scheduler": {**schedule, "_target_": "WarmupCosineSchedule"}})
    )
    resume_run(run, longer(run_request, 9))
    assert record_and_config(run)[1]["lr_scheduler"] == schedule


def test_an_early_end_is_said(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    assert "from scratch" in resume_run(run, run_request)["weights"]
    checkpoint(run, 2, counter=1, epochs=2)
    assert resume_run(run, run_request)["weights"].endswith("after epoch 2 of 2")
    checkpoint(run, 2, counter=30)
    assert resume_run(run, run_request)["weights"].endswith("where early stopping ended it")
    with pytest.raises(ValueError, match=r"run: ended early in an earlier version"):
        resume_run(run, longer(run_request, 9))
    checkpoint(run, 2, counter=30, epochs=2)
    assert "counts from 0" in resume_run(run, longer(run_request, 9))["epochs"]


def test_a_training_of_an_earlier_version_goes_on(tmp_path, split_of_empty_files, run_request):
    run = tmp_path / "run"
    create_run(run, run_request, split_of_empty_files, None)
    record = record_and_config(run)[0]
    for name in ("pretrained", "weights"):
        del record[name]
    (run / "run.json").write_text(json.dumps(record))
    assert resume_run(run, run_request)["weights"].startswith("from scratch")
