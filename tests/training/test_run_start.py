"""The start of a training: weights it starts from, resuming, more epochs."""

import json
import shutil
from hashlib import sha256

import pytest
import torch

from bundle_runs import SLICE_BUNDLE
from tests.training.training_runs import (
    STILL,
    TINY,
    fill_disk_at,
    parameters,
    progress_rows,
    same_tensors,
    train,
)

# --- weights from elsewhere


def lines(result, kind):
    return [x for x in result.stderr.splitlines() if x.startswith(f"{kind}: ")]


def test_a_bundle_named_alone_gives_no_weights_and_that_is_said(untrained_run, phantoms, tmp_path):
    result = train(phantoms, "-o", tmp_path / "run", "--bundle", untrained_run, *STILL, "--seed", 0)
    assert lines(result, "weights") == [
        f"weights: from scratch (random, seed 0); {untrained_run} has weights to start from"
        f" with --from {untrained_run}"
    ]
    assert not same_tensors(parameters(tmp_path / "run"), parameters(untrained_run))


@pytest.mark.parametrize("source", ["a run", "a file"])
def test_a_training_that_learns_nothing_ends_with_the_weights_it_starts_from(
    untrained_run, tiny_bundle, phantoms, tmp_path, source
):
    file = tmp_path / "w.pt"
    shutil.copy(untrained_run / "models" / "model.pt", file)
    words = {
        "a run": ("--from", untrained_run),
        "a file": ("--from", file, "--bundle", tiny_bundle),
    }
    result = train(phantoms, "-o", tmp_path / "run", *words[source], *STILL, "--seed", 0)
    assert same_tensors(parameters(tmp_path / "run"), parameters(untrained_run))
    total = len(torch.load(file, weights_only=True))
    name = {"a run": f"{untrained_run} (models/model.pt)", "a file": file}[source]
    assert lines(result, "weights") == [f"weights: {total} of {total} tensors from {name}"]
    spacing = json.loads((tmp_path / "run" / "configs" / "inference.json").read_text())["spacing"]
    assert spacing == {"a run": [9, 9, 9], "a file": [8, 8, 8]}[source], "the configs of the bundle"


def test_an_explicit_bundle_keeps_its_configs_and_settings_win(
    untrained_run, tiny_bundle, phantoms, tmp_path
):
    for run, words, spacing in (
        ("bundle", ("--bundle", str(tiny_bundle)), [8, 8, 8]),
        ("set", ("--set", "spacing=[7,7,7]"), [7, 7, 7]),
    ):
        train(phantoms, "-o", tmp_path / run, "--from", untrained_run, *words, *STILL)
        config = json.loads((tmp_path / run / "configs" / "train.json").read_text())
        assert config["spacing"] == spacing
        assert same_tensors(parameters(tmp_path / run), parameters(untrained_run))


def test_a_resumed_training_needs_no_source(untrained_run, phantoms, tmp_path, monkeypatch):
    source, run = tmp_path / "source", tmp_path / "run"
    shutil.copytree(untrained_run, source)
    words = (phantoms, "-o", run, "--from", source, *STILL)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_attn.training.run.ConfigWorkflow", killed)
    train(*words)
    monkeypatch.undo()
    shutil.rmtree(source)
    resumed = train(*words, "--resume")  # no checkpoint: from the copy
    assert f"tensors from {source} (models/model.pt)" in lines(resumed, "weights")[0]
    assert same_tensors(parameters(run), parameters(untrained_run))
    (run / "training" / "pretrained.pt").unlink()
    resumed = train(*words, "--resume")  # from the checkpoint
    assert lines(resumed, "weights") == [
        f"weights: the checkpoint in {run / 'training'}, after epoch 1 of 1"
    ]
    assert resumed.exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bundle", SLICE_BUNDLE), rf"model\.pt\): .* another network .*bundle {SLICE_BUNDLE}\)"),
        (("--set", "network_def#channels=[8,16]"), r"model\.pt\): .* another network "),
        (("--from", "gone.pt"), r"gone\.pt: no weights"),
        (("--from", "gone"), "gone: no bundle there"),
        (("--set", "pretrained=w.pt"), "pretrained: not a setting"),
    ],
)
def test_weights_that_cannot_be_used_leave_no_folder(
    untrained_run, phantoms, tmp_path, words, said
):
    with pytest.raises(ValueError, match=said):
        train(phantoms, "-o", tmp_path / "run", "--from", untrained_run, *words)
    assert not (tmp_path / "run").exists()


def test_a_bundle_that_loads_no_weights_is_refused(tiny_bundle, untrained_run, phantoms, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(tiny_bundle, old)
    path = old / "configs" / "train.json"
    config = json.loads(path.read_text())
    del config["pretrained"], config["initial_network"]
    path.write_text(json.dumps({**config, "network": "$@network_def.to(@device)"}))
    with pytest.raises(ValueError, match=r"old: configs/train\.json has no id pretrained"):
        train(phantoms, "-o", tmp_path / "run", "--bundle", old, "--from", untrained_run)
    assert not (tmp_path / "run").exists()


# --- more epochs


@pytest.mark.slow
def test_a_training_goes_on_with_more_epochs(tiny_bundle, phantoms, tmp_path, monkeypatch):
    """Cut off among them it ends where an unbroken one does."""
    words = (phantoms, "--bundle", tiny_bundle, "--cache", tmp_path / "cache", *TINY)
    train(*words, "-o", tmp_path / "cut")
    shutil.copytree(tmp_path / "cut", tmp_path / "unbroken")
    first = progress_rows(tmp_path / "cut")
    more = ("--epochs", 5, "--resume")
    result = train(*words, "-o", tmp_path / "unbroken", *more)
    assert lines(result, "epochs")[0].startswith(
        "epochs: 5 instead of 2, of which 2 are done; from epoch 3"
    )
    assert result.exit_code == 0

    fill_disk_at(4, monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        train(*words, "-o", tmp_path / "cut", *more)
    monkeypatch.undo()
    result = train(*words, "-o", tmp_path / "cut", *more)
    assert lines(result, "epochs") == []
    assert lines(result, "weights")[0].endswith("after epoch 3 of 5")
    rows = progress_rows(tmp_path / "cut")
    assert rows == progress_rows(tmp_path / "unbroken")
    assert rows[:2] == first
    assert same_tensors(parameters(tmp_path / "cut"), parameters(tmp_path / "unbroken"))

    rates = [float(row["learning_rate"]) for row in rows[2:]]
    assert rates == pytest.approx([0.002, 0.0015, 0.0005]), "a cosine from epoch 3 over all 5"
    digest = sha256((tmp_path / "cut" / "models" / "model.pt").read_bytes()).hexdigest()
    metadata = json.loads((tmp_path / "cut" / "configs" / "metadata.json").read_text())
    assert metadata["calibration"]["weights_sha256"] == digest, "calibrated anew"


def test_fewer_epochs_than_are_done_are_refused(two_epoch_run, tiny_bundle, phantoms):
    run, _ = two_epoch_run
    words = ("--bundle", tiny_bundle, "--label", "1=pancreas", *TINY, "--epochs", 1, "--resume")
    with pytest.raises(ValueError, match=r"run: 2 epochs are done \(got epochs 1, expected 2 or"):
        train(phantoms, "-o", run, *words)
    assert json.loads((run / "configs" / "train.json").read_text())["epochs"] == 2
