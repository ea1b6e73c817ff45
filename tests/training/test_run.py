"""From a folder of labelled scans to a trained and scored bundle."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bundle_runs import SLICE_BUNDLE
from monai_attn.bundle.open import open_bundle
from monai_attn.cli.app import app
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.listed_splits import names_in_split, read_split
from monai_attn.distributed.process_info import ProcessInfo
from monai_attn.io.errors import Faults
from monai_attn.training.request import Request
from monai_attn.training.resume import describe_weights
from monai_attn.training.run import prepare, train_run

TINY = ("--epochs", "2", "--set", "val_interval=1", "--validation", "0.5")


def train(*words):
    return CliRunner().invoke(app, ["train", *map(str, words)], catch_exceptions=False)


def progress(run):
    """Each epoch's row, without the time it took."""
    with (run / "training" / "progress.csv").open(newline="") as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


def gates(run):
    """What the gates did in each epoch."""
    with (run / "training" / "attention.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tiny_bundle, phantoms, tmp_path_factory):
    """A run of two epochs, by the command, and its terminal output."""
    run = tmp_path_factory.mktemp("train") / "run"
    result = train(phantoms, "-o", run, "--bundle", tiny_bundle, "--label", "1=pancreas", *TINY)
    assert result.exit_code == 0, result.output
    return run, result.output


def test_the_run_is_a_bundle_that_segments(trained):
    run, _ = trained
    opened = open_bundle(run, "cpu", backend="eager")
    assert opened.label_names == {1: "pancreas"}
    assert (run / "configs" / "attention.json").is_file(), "the overlay goes with any weights"
    scan = read_split(run / "split.json")["validation"][0]["image"]
    labels = opened.segmenter()(scan).labels
    kept = np.asarray(nib.load(run / "eval" / f"{_name(scan)}_seg.nii.gz").dataobj)
    assert np.array_equal(labels, kept)


def _name(path):
    return path.rsplit("/", 1)[-1].removesuffix(".nii.gz")


def test_the_validation_cases_are_scored(trained):
    run, output = trained
    scores = json.loads((run / "eval" / "scores.json").read_text())
    assert [row["case"] for row in scores["cases"]] == [
        _name(case["label"]) for case in read_split(run / "split.json")["validation"]
    ]
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    assert metadata["eval_metrics"] == {"mean_dice_of_pancreas": scores["mean"]["1"]["dice"]}
    assert "mean of 2" in output


def test_the_run_is_calibrated_on_its_validation_cases(trained):
    run, output = trained
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    inference = json.loads((run / "configs" / "inference.json").read_text())
    cases = [_name(case["image"]) for case in read_split(run / "split.json")["validation"]]
    assert metadata["calibration"]["cases"] == cases
    assert f"temperature {inference['temperature']:g}" in output
    assert inference["interval"]["factors"] == {}, "those of the template are of other weights"


def test_the_run_expects_what_its_training_cases_hold(trained):
    run, _ = trained
    volumes = []
    for case in read_split(run / "split.json")["training"]:
        label = nib.load(case["label"])
        voxel = abs(np.linalg.det(label.affine[:3, :3])) / 1000
        volumes.append(np.count_nonzero(label.dataobj) * voxel)
    inference = json.loads((run / "configs" / "inference.json").read_text())
    expected = inference["expected"]["1"]
    assert expected["volume_ml"] == pytest.approx([min(volumes) / 2, max(volumes) * 2], abs=0.001)
    assert len(expected["extent_mm"]) == 3
    assert (expected["pieces"], expected["inside"]) == (1, True)
    assert (inference["keep_largest"], inference["fill_holes"]) == ([1], [])


def test_best_and_last_are_there_and_the_cache_is_not(trained):
    run, _ = trained
    state = torch.load(run / "training" / "last.pt", weights_only=True)
    assert state["epoch"] == 2
    best = torch.load(run / "models" / "model.pt", weights_only=True)
    assert best.keys() == state["network"].keys()
    assert not (run / "cache").exists()
    assert len(progress(run)) == 2
    events = b"".join(path.read_bytes() for path in (run / "training").glob("events.*"))
    assert b"validation/phantom_" in events
    assert state["parts"]["gate_watch"]["epochs"][-1]["mean"] == float(gates(run)[-1]["mean"])


def test_a_run_is_not_trained_over(trained, tiny_bundle, phantoms):
    run, _ = trained
    before = (run / "models" / "model.pt").read_bytes()
    with pytest.raises(ValueError, match=r"run: is not empty\. Resume"):
        train(phantoms, "-o", run, "--bundle", tiny_bundle)
    assert (run / "models" / "model.pt").read_bytes() == before


@pytest.mark.filterwarnings("ignore:.*lets everything through")  # as a new hard gate does
@pytest.mark.parametrize("gate", ["none", "soft", "hard", "reinforce"])
def test_the_gate_can_be_chosen(tiny_bundle, phantoms, tmp_path, gate):
    run = tmp_path / "run"
    words = ("--set", "val_interval=9", "--epochs", 1, "--gate", gate)
    result = train(phantoms, "-o", run, "--bundle", tiny_bundle, *words)
    assert result.exit_code == 0, result.output
    weights = torch.load(run / "models" / "model.pt", weights_only=True)
    assert any("gate" in name for name in weights) == (gate != "none")
    config = json.loads((run / "configs" / "inference.json").read_text())["network_def"]
    assert config["gate"] == {"none": None, "soft": "soft"}.get(gate, config["gate"])
    if gate in ("hard", "reinforce"):
        assert config["gate"][0] == "hard"


def test_a_second_training_reads_nothing_of_what_is_cached(
    tiny_bundle, phantoms, tmp_path, monkeypatch
):
    words = ("--bundle", tiny_bundle, "--cache", tmp_path / "cache", *TINY)
    train(phantoms, "-o", tmp_path / "a", *words)
    entries = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    assert len(entries) == 4
    monkeypatch.setattr(
        "monai_attn.transforms.checks.CheckLabeld.__call__", None
    )  # reading would fail
    result = train(phantoms, "-o", tmp_path / "b", "--seed", 1, *words)
    assert result.exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()} == entries


# --- weights from elsewhere


STILL = ("--epochs", 1, "--set", "val_interval=1", "--set", "learning_rate=0")


def lines(result, kind):
    return [x for x in result.stderr.splitlines() if x.startswith(f"{kind}: ")]


def parameters(run):
    """The weights of a run, without the running means of its norms."""
    state = torch.load(run / "models" / "model.pt", weights_only=True)
    return {name: tensor for name, tensor in state.items() if name.endswith((".weight", ".bias"))}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def other(tiny_bundle, phantoms, tmp_path_factory):
    """A run of another seed and spacing, which learned nothing."""
    run = tmp_path_factory.mktemp("train") / "other"
    words = ("--bundle", tiny_bundle, *STILL, "--seed", 7, "--set", "spacing=[9,9,9]")
    result = train(phantoms, "-o", run, *words)
    assert result.exit_code == 0, result.output
    return run


def test_a_bundle_named_alone_gives_no_weights_and_that_is_said(other, phantoms, tmp_path):
    result = train(phantoms, "-o", tmp_path / "run", "--bundle", other, *STILL, "--seed", 0)
    assert lines(result, "weights") == [
        f"weights: from scratch (random, seed 0); {other} has weights to start from with --from {other}"
    ]
    assert not same(parameters(tmp_path / "run"), parameters(other))


@pytest.mark.parametrize("source", ["a run", "a file"])
def test_a_training_that_learns_nothing_ends_with_the_weights_it_starts_from(
    other, tiny_bundle, phantoms, tmp_path, source
):
    file = tmp_path / "w.pt"
    shutil.copy(other / "models" / "model.pt", file)
    words = {"a run": ("--from", other), "a file": ("--from", file, "--bundle", tiny_bundle)}
    result = train(phantoms, "-o", tmp_path / "run", *words[source], *STILL, "--seed", 0)
    assert same(parameters(tmp_path / "run"), parameters(other))
    total = len(torch.load(file, weights_only=True))
    name = {"a run": f"{other} (models/model.pt)", "a file": file}[source]
    assert lines(result, "weights") == [f"weights: {total} of {total} tensors from {name}"]
    spacing = json.loads((tmp_path / "run" / "configs" / "inference.json").read_text())["spacing"]
    assert spacing == {"a run": [9, 9, 9], "a file": [8, 8, 8]}[source], "the configs of the bundle"


def test_an_explicit_bundle_keeps_its_configs_and_settings_win(
    other, tiny_bundle, phantoms, tmp_path
):
    for run, words, spacing in (
        ("bundle", ("--bundle", str(tiny_bundle)), [8, 8, 8]),
        ("set", ("--set", "spacing=[7,7,7]"), [7, 7, 7]),
    ):
        train(phantoms, "-o", tmp_path / run, "--from", other, *words, *STILL)
        config = json.loads((tmp_path / run / "configs" / "train.json").read_text())
        assert config["spacing"] == spacing
        assert same(parameters(tmp_path / run), parameters(other))


def test_a_resumed_training_needs_no_source(other, phantoms, tmp_path, monkeypatch):
    source, run = tmp_path / "source", tmp_path / "run"
    shutil.copytree(other, source)
    words = (phantoms, "-o", run, "--from", source, *STILL)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_attn.training.run.ConfigWorkflow", killed)
    train(*words)
    monkeypatch.undo()
    shutil.rmtree(source)
    resumed = train(*words, "--resume")  # no checkpoint: from the copy
    assert f"tensors from {source} (models/model.pt)" in lines(resumed, "weights")[0]
    assert same(parameters(run), parameters(other))
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
def test_weights_that_cannot_be_used_leave_no_folder(other, phantoms, tmp_path, words, said):
    with pytest.raises(ValueError, match=said):
        train(phantoms, "-o", tmp_path / "run", "--from", other, *words)
    assert not (tmp_path / "run").exists()


def test_a_bundle_that_loads_no_weights_is_refused(tiny_bundle, other, phantoms, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(tiny_bundle, old)
    path = old / "configs" / "train.json"
    config = json.loads(path.read_text())
    del config["pretrained"], config["initial_network"]
    path.write_text(json.dumps({**config, "network": "$@network_def.to(@device)"}))
    with pytest.raises(ValueError, match=r"old: configs/train\.json has no id pretrained"):
        train(phantoms, "-o", tmp_path / "run", "--bundle", old, "--from", other)
    assert not (tmp_path / "run").exists()


# --- more epochs


@pytest.mark.slow
def test_a_training_goes_on_with_more_epochs(tiny_bundle, phantoms, tmp_path, monkeypatch):
    """Cut off among them it ends where an unbroken one does."""
    words = (phantoms, "--bundle", tiny_bundle, "--cache", tmp_path / "cache", *TINY)
    train(*words, "-o", tmp_path / "cut")
    shutil.copytree(tmp_path / "cut", tmp_path / "unbroken")
    first = progress(tmp_path / "cut")
    more = ("--epochs", 5, "--resume")
    result = train(*words, "-o", tmp_path / "unbroken", *more)
    assert lines(result, "epochs")[0].startswith(
        "epochs: 5 instead of 2, of which 2 are done; from epoch 3"
    )
    assert result.exit_code == 0

    save = torch.save

    def full(state, file):
        if isinstance(state, dict) and state.get("epoch") == 4:
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        train(*words, "-o", tmp_path / "cut", *more)
    monkeypatch.undo()
    result = train(*words, "-o", tmp_path / "cut", *more)
    assert lines(result, "epochs") == []
    assert lines(result, "weights")[0].endswith("after epoch 3 of 5")
    rows = progress(tmp_path / "cut")
    assert rows == progress(tmp_path / "unbroken")
    assert rows[:2] == first
    assert same(parameters(tmp_path / "cut"), parameters(tmp_path / "unbroken"))

    rates = [float(row["learning_rate"]) for row in rows[2:]]
    assert rates == pytest.approx([0.002, 0.0015, 0.0005]), "a cosine from epoch 3 over all 5"
    digest = sha256((tmp_path / "cut" / "models" / "model.pt").read_bytes()).hexdigest()
    metadata = json.loads((tmp_path / "cut" / "configs" / "metadata.json").read_text())
    assert metadata["calibration"]["weights_sha256"] == digest, "calibrated anew"


def test_fewer_epochs_than_are_done_are_refused(trained, tiny_bundle, phantoms):
    run, _ = trained
    words = ("--bundle", tiny_bundle, "--label", "1=pancreas", *TINY, "--epochs", 1, "--resume")
    with pytest.raises(ValueError, match=r"run: 2 epochs are done \(got epochs 1, expected 2 or"):
        train(phantoms, "-o", run, *words)
    assert json.loads((run / "configs" / "train.json").read_text())["epochs"] == 2


# --- what is refused, before anything is made


@pytest.fixture
def data(phantoms, tmp_path):
    """A data set that may be broken."""
    folder = tmp_path / "data"
    shutil.copytree(phantoms, folder)
    return folder


def asked(data, bundle, **more):
    return Request(str(bundle), str(data), **more)


def relabel(path, change):
    image = nib.load(path)
    labels = change(np.asarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(labels, image.affine), path)


def test_all_faults_are_listed_at_once(data, tiny_bundle, tmp_path):
    labels = sorted((data / "labelsTr").glob("*.nii.gz"))
    relabel(labels[0], lambda x: x[1:])
    relabel(labels[1], lambda x: np.where(x == 1, 7, x))
    labels[2].write_bytes(labels[2].read_bytes()[:-40])
    with pytest.raises(Faults) as raised:
        prepare(tmp_path / "run", asked(data, tiny_bundle))
    assert len(raised.value.lines) == 3
    for line, label, said in zip(
        raised.value.lines,
        labels,
        ("is not on the grid", "got 7, expected 0, 1, 2", ""),
        strict=False,
    ):
        assert line.startswith(str(label))
        assert said in line
    assert not (tmp_path / "run").exists()


def test_values_that_the_bundle_does_not_know_can_be_chosen(data, tiny_bundle, tmp_path):
    for label in (data / "labelsTr").glob("*.nii.gz"):
        relabel(label, lambda x: np.where(x == 1, 7, x))
    (data / "dataset.json").write_text(
        json.dumps({"training": json.loads((data / "dataset.json").read_text())["training"]})
    )
    with pytest.raises(Faults, match=r"unknown label values \(got 7,"):
        prepare(tmp_path / "run", asked(data, tiny_bundle))
    prepare(tmp_path / "run", asked(data, tiny_bundle, labels=("7=pancreas",)))
    config = json.loads((tmp_path / "run" / "configs" / "train.json").read_text())
    assert config["label_map"] == {"0": 0, "1": 0, "7": 1}


def test_with_another_number_of_classes_the_head_is_new(data, tiny_bundle, tmp_path):
    cases = find_cases(data)
    relabel(cases[0]["label"], lambda x: x * 2)
    listed = tmp_path / "list.json"  # which declares no values
    listed.write_text(json.dumps({"validation": cases[:2], "training": cases[2:]}))
    bundle, labels = str(tiny_bundle), ("1=pancreas", "2=tumour")
    prepare(tmp_path / "run", asked(listed, bundle, labels=labels, pretrained=bundle))
    said = describe_weights(tmp_path / "run")
    assert (
        "; new: heads.0.weight (shape (3, 4, 1, 1, 1), file has (2, 4, 1, 1, 1)), heads.0.b" in said
    )
    record = json.loads((tmp_path / "run" / "run.json").read_text())["weights"]["fit"]
    assert list(record["reshaped"]) == ["heads.0.weight", "heads.0.bias"]
    assert record["missing"] == record["unused"] == []


def test_a_class_that_validation_alone_holds_is_said(data, tiny_bundle, tmp_path):
    cases = find_cases(data)
    relabel(cases[0]["label"], lambda x: x * 2)
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"validation": cases[:2], "training": cases[2:]}))
    labels = ("1=pancreas", "2=tumour")
    doubts = prepare(tmp_path / "run", asked(listed, tiny_bundle, labels=labels))
    assert f"{cases[0]['label']}: has class 2, which no training case has" in doubts[-1]


def test_folds_cover_all_cases(data, tiny_bundle, tmp_path):
    held_out = []
    for fold in range(2):
        run = tmp_path / f"fold{fold}"
        prepare(run, asked(data, tiny_bundle, fold=fold, folds=2))
        split = read_split(run / "split.json")
        assert len(split["training"]) == 2
        held_out += [case["image"] for case in split["validation"]]
    assert sorted(held_out) == sorted(case["image"] for case in find_cases(data))


def test_folds_and_a_split_of_its_own_exclude_each_other(data, tiny_bundle, tmp_path):
    cases = find_cases(data)
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"training": cases[:3], "validation": cases[3:]}))
    with pytest.raises(ValueError, match=r"list\.json: defines its own validation cases"):
        prepare(tmp_path / "run", asked(listed, tiny_bundle, fold=0, folds=2))
    prepare(tmp_path / "run", asked(listed, tiny_bundle))
    assert len(read_split(tmp_path / "run" / "split.json")["validation"]) == 1


def listed(data, path, **keys):
    """A datalist of a data set's four cases, each with its value of every key; None leaves it out."""
    cases = find_cases(data)
    for key, values in keys.items():
        for case, value in zip(cases, values, strict=True):
            case.update({} if value is None else {key: value})
    path.write_text(json.dumps({"training": cases}))
    return path


def held_out(run):
    """The numbers of the phantoms that validate."""
    return sorted(_name(case["image"])[-1] for case in read_split(run / "split.json")["validation"])


@pytest.mark.parametrize(("fold", "validates"), [(0, ["5", "6"]), (1, ["7", "8"])])
@pytest.mark.parametrize("folds", [None, 2])
def test_the_folds_of_an_auto3dseg_datalist_are_trained(
    data, tiny_bundle, tmp_path, fold, folds, validates
):
    source = listed(data, tmp_path / "folds.json", fold=[0, 0, 1, 1])
    doubts = prepare(tmp_path / "run", asked(source, tiny_bundle, fold=fold, folds=folds))
    assert held_out(tmp_path / "run") == validates
    assert doubts == ()


def test_the_first_fold_validates_where_none_is_chosen_and_a_line_says_so(
    data, tiny_bundle, tmp_path
):
    source = listed(data, tmp_path / "folds.json", fold=[1, 0, 1, 0])
    (doubt,) = prepare(tmp_path / "run", asked(source, tiny_bundle))
    assert "its datalist gives the folds 0, 1, and none was chosen. Fold 0 validates" in doubt
    assert held_out(tmp_path / "run") == ["6", "8"]


# keys of the cases, what is asked for, the fault
UNFIT = [
    ({"fold": [0, 0, 1, 1]}, {"folds": 3}, "its datalist gives 2 folds .0, 1., not 3"),
    (
        {"fold": [0, 0, 1, None]},
        {"fold": 0},
        "has no fold .* 1 of 4 cases|has no fold in its datal",
    ),
    ({"fold": [0, 0, 1, -1]}, {"fold": 0}, "has an invalid fold .got -1,"),
    (
        {"fold:": [0, 0, 1, 1]},
        {"fold": 0, "folds": 2},
        "an unknown key .got 'fold:', expected 'fold'",
    ),
    ({"groups": [0, 0, 1, 1]}, {}, "an unknown key .got 'groups', expected 'group'"),
    ({"fold": [0, 0, 1, 1], "group": "abbc"}, {"fold": 0}, "phantom_0006 .fold 0., phantom_0007"),
    ({"group": "aabb"}, {"fold": 0, "folds": 3}, "at most the 2 patients"),
    ({"patient": ["a", None, "b", None]}, {}, "phantom_0006.nii.gz: has no patient"),
    ({"patient": "aabb"}, {"group": "(.+)"}, "the group pattern gives another"),
    (
        {},
        {"group": "^case"},
        "phantom_0005.nii.gz: group pattern .case finds no patient in the name phan",
    ),
    ({}, {"group": "("}, "group pattern .: not a regular expression"),
    ({}, {"group": "phantom"}, "all 4 cases are of one patient"),
]


@pytest.mark.parametrize(("keys", "more", "said"), UNFIT)
def test_folds_and_groups_that_do_not_fit_are_refused(
    data, tiny_bundle, tmp_path, keys, more, said
):
    source = listed(data, tmp_path / "list.json", **keys)
    with pytest.raises(ValueError, match=said) as raised:
        prepare(tmp_path / "run", asked(source, tiny_bundle, **more))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_patients_and_not_files_are_split(data, tiny_bundle, tmp_path):
    source = listed(data, tmp_path / "list.json", patient="abab")
    for request, expected in (
        (asked(source, tiny_bundle, validation=0.5), (["5", "7"], ["6", "8"])),
        (asked(source, tiny_bundle), (["5", "7"], ["6", "8"])),
        (asked(source, tiny_bundle, fold=1, folds=2), (["5", "7"], ["6", "8"])),
        (asked(data, tiny_bundle, fold=1, folds=4, group="(.+)"), (["5"], ["6"], ["7"], ["8"])),
    ):
        run = tmp_path / str(len([*tmp_path.iterdir()]))
        prepare(run, request)
        assert held_out(run) in expected


def test_visits_are_warned_about_once_and_patients_silence_it(data, tiny_bundle, tmp_path):
    for path in (*data.glob("*/phantom_*"), data / "dataset.json"):
        if path.suffix == ".json":
            path.unlink()
        else:
            number = int(path.name[-8])
            path.rename(path.with_name(f"p{number // 2}_t{number % 2}.nii.gz"))
    (doubt,) = prepare(tmp_path / "a", asked(data, tiny_bundle))
    assert "p3_t0 and p3_t1 look like scans of one patient" in doubt
    assert "group pattern '^(.+)[-_]'" in doubt
    assert prepare(tmp_path / "b", asked(data, tiny_bundle, group="^(.+)[-_]")) == ()
    assert read_split(tmp_path / "b" / "split.json")["validation"]


def test_the_pattern_is_an_option_and_a_training_goes_on_with_it(trained, tiny_bundle, phantoms):
    run, _ = trained
    words = (phantoms, "-o", run, "--bundle", tiny_bundle, "--label", "1=pancreas", *TINY)
    with pytest.raises(ValueError, match=r"another group .*got \"\(\.\+\)\", expected null"):
        train(*words, "--resume", "--group", "(.+)")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fold": 5}, r"fold \(=5\) must be 0 to 4|folds \(=5\)"),
        ({"validation": 1.5}, r"validation \(=1.5\)"),
        ({"settings": {"batch_size": 9}}, "too few cases for training .got 3, expected 9"),
        ({"settings": {"network_def#gate": "strong"}}, "network_def: no network .*strong"),
        (
            {"settings": {"network_def#gate": None}, "overlay": "hard"},
            "network_def#gate is None, but the loss is for hard gates",
        ),
        (
            {"settings": {"network_def#gate": ["hard", {"estimator": "reinforce"}]}},
            "but the loss is not for hard gates",
        ),
        ({"settings": {"network_def#strides": [2, 2]}}, "network_def: no network"),
        ({"settings": {"epochs": 0}}, r"epochs \(=0\) must be 1 or more"),
        ({"settings": {"spacing": [8, 8]}}, r"spacing \(=\[8, 8\]\) must be 3 numbers"),
        ({"settings": {"nonsense": 9}}, "nonsense: the bundle's configs have no such id"),
        ({"settings": {"keep_pieces_from": 0}}, r"keep_pieces_from \(=0\) must be a number"),
        ({"labels": ("9=liver",)}, "9"),
    ],
)
def test_what_cannot_be_asked_for_is_said(data, tiny_bundle, tmp_path, more, said):
    with pytest.raises(ValueError, match=said):
        prepare(tmp_path / "run", asked(data, tiny_bundle, **more))
    assert not (tmp_path / "run").exists()


def test_cases_of_one_name_are_named_after_their_folders(data, tiny_bundle, tmp_path):
    for number, case in enumerate(find_cases(data)):
        folder = tmp_path / "named" / str(number)
        folder.mkdir(parents=True)
        for key in ("image", "label"):
            shutil.copy(case[key], folder / f"{key}.nii.gz")
    cases = [{key: f"{n}/{key}.nii.gz" for key in ("image", "label")} for n in range(4)]
    listed = tmp_path / "named" / "list.json"
    listed.write_text(json.dumps({"training": cases[:2], "validation": cases[2:]}))
    prepare(tmp_path / "run", asked(listed, tiny_bundle))
    names = names_in_split(read_split(tmp_path / "run" / "split.json"))
    assert sorted(names.values()) == ["0", "1", "2", "3"]


def test_several_processes_need_cases_for_each(data, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "monai_attn.training.run.read_process_info", lambda: ProcessInfo(0, 2, 0, 2)
    )
    for more, said in (
        ({"settings": {"batch_size": 3}}, "multiple of the 2 processes .*Set batch_size to 4"),
        ({"validation": 0.2}, "too few cases for validation .got 1, expected 2"),
    ):
        with pytest.raises(ValueError, match=said):
            prepare(tmp_path / "run", asked(data, tiny_bundle, **more))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("ranks", "device", "given"),
    [(1, "cuda", "$torch.device('cuda')"), (2, "cuda", None), (2, "cpu", "$torch.device('cpu')")],
)
def test_each_of_several_processes_takes_its_own_gpu(tmp_path, monkeypatch, ranks, device, given):
    asked_for = []

    class Workflow:
        def __init__(self, **options):
            asked_for.append(options.get("device"))

        initialize = run = finalize = lambda self: None

    monkeypatch.setattr("monai_attn.training.run.ConfigWorkflow", Workflow)
    monkeypatch.setattr(
        "monai_attn.training.run.read_process_info", lambda: ProcessInfo(0, ranks, 0, ranks)
    )
    train_run(tmp_path, device=device)
    assert asked_for == [given]


def test_an_unknown_gate_is_named(data, tiny_bundle, tmp_path):
    with pytest.raises(ValueError, match="--gate strong: soft, none, hard, reinforce expected"):
        train(data, "-o", tmp_path / "run", "--bundle", tiny_bundle, "--gate", "strong")


def test_a_full_disk_is_one_line_that_names_the_file(tiny_bundle, phantoms, tmp_path, monkeypatch):
    save = torch.save

    def full(state, file):
        if isinstance(state, dict) and state.get("epoch") == 2:
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", full)
    words = (phantoms, "-o", tmp_path / "run", "--bundle", tiny_bundle, *TINY)
    with pytest.raises(OSError, match=r"last\.pt: cannot be written \(No space .*; make room"):
        train(*words)
    monkeypatch.undo()
    assert train(*words, "--resume").exit_code == 0
    assert len(progress(tmp_path / "run")) == 2


# --- processes: killed, and several


def start(*words, ranks=1):
    """A process, or several, with as many threads as this one: their number changes the rounding."""
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "monai_attn", "train", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


@pytest.mark.slow
def test_a_killed_training_ends_where_an_unbroken_one_does(tiny_bundle, phantoms, tmp_path):
    words = [phantoms, "--bundle", tiny_bundle, *TINY, "--epochs", "4", "--cache", tmp_path / "c"]
    assert train(*words, "-o", tmp_path / "unbroken").exit_code == 0
    killed = start(*words, "-o", tmp_path / "killed")
    while not (tmp_path / "killed" / "training" / "previous.pt").exists():
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert train(*words, "-o", tmp_path / "killed", "--resume").exit_code == 0
    assert progress(tmp_path / "killed") == progress(tmp_path / "unbroken")
    assert gates(tmp_path / "killed") == gates(tmp_path / "unbroken")
    best = [
        torch.load(tmp_path / run / "models" / "model.pt", weights_only=True)
        for run in ("killed", "unbroken")
    ]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


@pytest.mark.slow
def test_two_processes_train_as_one_does(tiny_bundle, phantoms, tmp_path):
    words = [phantoms, "--bundle", tiny_bundle, *TINY, "--cache", tmp_path / "cache"]
    together = start(*words, "-o", tmp_path / "two", ranks=2)
    _, errors = together.communicate(timeout=400)
    assert together.returncode == 0, errors
    assert train(*words, "-o", tmp_path / "one").exit_code == 0
    one, two = progress(tmp_path / "one"), progress(tmp_path / "two")
    for alone, shared in zip(one, two, strict=True):
        assert float(shared["loss"]) == pytest.approx(float(alone["loss"]), rel=2e-3)
        assert float(shared["metric"]) == pytest.approx(float(alone["metric"]), abs=0.02)
        assert shared["windows"] == alone["windows"]
    assert (tmp_path / "two" / "eval" / "scores.json").is_file()
    assert [row["epoch"] for row in gates(tmp_path / "two")] == ["1", "2"]


@pytest.mark.slow
def test_all_processes_start_from_the_same_weights(other, phantoms, tmp_path):
    words = (phantoms, "-o", tmp_path / "two", "--from", other, *STILL, "--validation", 0.5)
    together = start(*words, ranks=2)
    _, errors = together.communicate(timeout=400)
    assert together.returncode == 0, errors
    assert errors.count("weights: ") == 1
    assert same(parameters(tmp_path / "two"), parameters(other))
