"""From a folder of labelled scans to a trained and scored bundle."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from monai_attn.bundle import open_bundle
from monai_attn.cli.app import app
from monai_attn.data.cases import find_cases
from monai_attn.data.errors import Faults
from monai_attn.data.splits import read_split
from monai_attn.ranks import Ranks
from monai_attn.training.run_folder import Request
from monai_attn.training.train import prepare, train_run

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
    labels = opened.segmenter(scan).labels
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
    assert state["parts"]["gate_watch"]["epochs"][-1]["mean"] == float(gates(run)[-1]["mean"])


def test_a_run_is_not_trained_over(trained, tiny_bundle, phantoms):
    run, _ = trained
    before = (run / "models" / "model.pt").read_bytes()
    with pytest.raises(ValueError, match="is not empty; go on with its training by --resume"):
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
    monkeypatch.setattr("monai_attn.case_checks.CheckLabeld.__call__", None)  # reading would fail
    result = train(phantoms, "-o", tmp_path / "b", "--seed", 1, *words)
    assert result.exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()} == entries


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
        raised.value.lines, labels, ("is not on the grid", "holds 7", ""), strict=False
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
    with pytest.raises(Faults, match="holds 7"):
        prepare(tmp_path / "run", asked(data, tiny_bundle))
    prepare(tmp_path / "run", asked(data, tiny_bundle, labels=("7=pancreas",)))
    config = json.loads((tmp_path / "run" / "configs" / "train.json").read_text())
    assert config["label_map"] == {"0": 0, "1": 0, "7": 1}


def test_a_class_that_validation_alone_holds_is_said(data, tiny_bundle, tmp_path):
    cases = find_cases(data)
    relabel(cases[0]["label"], lambda x: x * 2)
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"validation": cases[:2], "training": cases[2:]}))
    labels = ("1=pancreas", "2=tumour")
    doubts = prepare(tmp_path / "run", asked(listed, tiny_bundle, labels=labels))
    assert f"{cases[0]['label']}: holds class 2, and no training case does" in doubts[-1]


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
    with pytest.raises(ValueError, match="says itself which cases validate; leave out --fold"):
        prepare(tmp_path / "run", asked(listed, tiny_bundle, fold=0, folds=2))
    prepare(tmp_path / "run", asked(listed, tiny_bundle))
    assert len(read_split(tmp_path / "run" / "split.json")["validation"]) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fold": 5}, r"fold \(=5\) must be 0 to 4|folds \(=5\)"),
        ({"validation": 1.5}, r"validation \(=1.5\)"),
        ({"settings": {"batch_size": 9}}, "cases for training; 9 or more expected"),
        ({"settings": {"network_def#gate": "strong"}}, "network_def makes no network .*strong"),
        (
            {"settings": {"network_def#gate": None}, "overlay": "hard"},
            "network_def#gate is None, but the loss is one of hard gates",
        ),
        (
            {"settings": {"network_def#gate": ["hard", {"estimator": "reinforce"}]}},
            r"but the loss is none of hard gates; .* --gate hard sets both",
        ),
        ({"settings": {"network_def#strides": [2, 2]}}, "network_def makes no network"),
        ({"settings": {"epochs": 0}}, r"epochs \(=0\) must be 1 or more"),
        ({"settings": {"spacing": [8, 8]}}, r"spacing \(=\[8, 8\]\) must be 3 numbers"),
        ({"settings": {"nonsense": 9}}, "nonsense: the bundle's configs have no such id"),
        ({"labels": ("9=liver",)}, "9"),
    ],
)
def test_what_cannot_be_asked_for_is_said(data, tiny_bundle, tmp_path, more, said):
    with pytest.raises(ValueError, match=said):
        prepare(tmp_path / "run", asked(data, tiny_bundle, **more))
    assert not (tmp_path / "run").exists()


def test_two_validation_cases_of_one_name_are_met_before_training(data, tiny_bundle, tmp_path):
    for number, case in enumerate(find_cases(data)):
        folder = tmp_path / "named" / str(number)
        folder.mkdir(parents=True)
        for key in ("image", "label"):
            shutil.copy(case[key], folder / f"{key}.nii.gz")
    cases = [{key: f"{n}/{key}.nii.gz" for key in ("image", "label")} for n in range(4)]
    listed = tmp_path / "named" / "list.json"
    listed.write_text(json.dumps({"training": cases[:2], "validation": cases[2:]}))
    with pytest.raises(ValueError, match=r"image_seg\.nii\.gz; one name for each scan expected"):
        prepare(tmp_path / "run", asked(listed, tiny_bundle))
    assert not (tmp_path / "run").exists()


def test_several_processes_need_cases_for_each(data, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("monai_attn.training.train.find_ranks", lambda: Ranks(0, 2, 0, 2))
    for more, said in (
        ({"settings": {"batch_size": 3}}, r"multiple of the 2 processes .*--set batch_size=4"),
        ({"validation": 0.2}, "1 cases for validation; 2 or more expected"),
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

    monkeypatch.setattr("monai_attn.training.train.ConfigWorkflow", Workflow)
    monkeypatch.setattr("monai_attn.training.train.find_ranks", lambda: Ranks(0, ranks, 0, ranks))
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
