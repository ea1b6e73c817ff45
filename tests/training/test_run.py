"""From a folder of labelled scans to a trained and scored bundle."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.listed_splits import names_in_split, read_split
from monai_attn.io.errors import Faults
from monai_attn.training.case_cache import CachedCases
from monai_attn.training.expected_intensities import add_expected_intensities
from monai_attn.training.resume import describe_weights
from monai_attn.training.run import prepare
from tests.training.training_runs import (
    STILL,
    TINY,
    fill_disk_at,
    gate_rows,
    progress_rows,
    request_for,
    scan_name,
    train,
)


def test_the_run_is_a_bundle_that_segments(two_epoch_run):
    run, _ = two_epoch_run
    opened = open_bundle(run, "cpu", backend="eager")
    assert opened.label_names == {1: "pancreas"}
    assert (run / "configs" / "attention.json").is_file(), "the overlay goes with any weights"
    scan = read_split(run / "split.json")["validation"][0]["image"]
    labels = opened.segmenter()(scan).labels
    kept = np.asarray(nib.load(run / "eval" / f"{scan_name(scan)}_seg.nii.gz").dataobj)
    assert np.array_equal(labels, kept)


def test_the_validation_cases_are_scored(two_epoch_run):
    run, output = two_epoch_run
    scores = json.loads((run / "eval" / "scores.json").read_text())
    assert [row["case"] for row in scores["cases"]] == [
        scan_name(case["label"]) for case in read_split(run / "split.json")["validation"]
    ]
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    assert metadata["eval_metrics"] == {"mean_dice_of_pancreas": scores["mean"]["1"]["dice"]}
    assert "mean of 2" in output


def test_the_run_is_calibrated_on_its_validation_cases(two_epoch_run):
    run, output = two_epoch_run
    metadata = json.loads((run / "configs" / "metadata.json").read_text())
    inference = json.loads((run / "configs" / "inference.json").read_text())
    cases = [scan_name(case["image"]) for case in read_split(run / "split.json")["validation"]]
    assert metadata["calibration"]["cases"] == cases
    assert f"temperature {inference['temperature']:g}" in output
    assert inference["interval"]["factors"] == {}, "those of the template are of other weights"


def test_the_run_expects_what_its_training_cases_hold(two_epoch_run):
    run, _ = two_epoch_run
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
    assert "intensity_hu" not in expected, "two training cases are too few"


def test_the_run_expects_the_intensities_of_its_training_cases(untrained_run):
    inference = json.loads((untrained_run / "configs" / "inference.json").read_text())
    expected = inference["expected"]["1"]
    cases = read_split(untrained_run / "split.json")["training"]
    assert len(cases) == 3
    medians, quartiles = [], []
    for case in cases:
        image, label = (np.asarray(nib.load(case[key]).dataobj) for key in ("image", "label"))
        medians.append(np.median(image[label > 0].clip(*inference["intensity_range"])))
        with_label = image[..., (label > 0).any((0, 1))]
        quartiles.append(np.percentile(with_label[(with_label >= 20) & (with_label < 250)], 75))
    # at 9 mm fat mixes with a thin organ
    assert np.mean(expected["intensity_hu"]) == pytest.approx(np.mean(medians), abs=20)
    assert np.mean(expected["tissue_hu"]) == pytest.approx(np.mean(quartiles), abs=20)


def test_intensities_in_a_config_stay_and_a_gone_cache_adds_none(untrained_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(untrained_run, run)
    path = run / "configs" / "inference.json"
    content = json.loads(path.read_text())
    content["expected"]["1"] = {"intensity_hu": [1, 2]}
    path.write_text(json.dumps(content))
    add_expected_intensities(run)
    assert json.loads(path.read_text()) == content, "no case is cached"
    cases = CachedCases(
        read_split(run / "split.json")["training"],
        ConfigParser(
            {**json.loads((run / "configs" / "train.json").read_text())}
        ).get_parsed_content("train#preprocessing"),
        run / "cache",
    )
    cases.steady(0)
    add_expected_intensities(run)
    found = json.loads(path.read_text())["expected"]["1"]
    assert found["intensity_hu"] == [1, 2]
    assert "tissue_hu" in found


@pytest.mark.slow
def test_a_named_ct_is_measured_as_well(phantoms, tiny_bundle, tmp_path):
    words = ("--bundle", tiny_bundle, *STILL, "--channel", "CT=0,250", "--set", "spacing=[9,9,9]")
    result = train(phantoms, "-o", tmp_path / "run", *words)
    assert result.exit_code == 0, result.output
    inference = json.loads((tmp_path / "run" / "configs" / "inference.json").read_text())
    assert {"intensity_hu", "tissue_hu"} <= inference["expected"]["1"].keys()


def test_best_and_last_are_there_and_the_cache_is_not(two_epoch_run):
    run, _ = two_epoch_run
    state = torch.load(run / "training" / "last.pt", weights_only=True)
    assert state["epoch"] == 2
    best = torch.load(run / "models" / "model.pt", weights_only=True)
    assert best.keys() == state["network"].keys()
    assert not (run / "cache").exists()
    assert len(progress_rows(run)) == 2
    events = b"".join(path.read_bytes() for path in (run / "training").glob("events.*"))
    assert b"validation/phantom_" in events
    assert state["parts"]["gate_watch"]["epochs"][-1]["mean"] == float(gate_rows(run)[-1]["mean"])


def test_a_run_is_not_trained_over(two_epoch_run, tiny_bundle, phantoms):
    run, _ = two_epoch_run
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


# --- what is refused, before anything is made


def relabel(path, change):
    image = nib.load(path)
    labels = change(np.asarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(labels, image.affine), path)


def test_all_faults_are_listed_at_once(own_phantoms, tiny_bundle, tmp_path):
    labels = sorted((own_phantoms / "labelsTr").glob("*.nii.gz"))
    relabel(labels[0], lambda x: x[1:])
    relabel(labels[1], lambda x: np.where(x == 1, 7, x))
    labels[2].write_bytes(labels[2].read_bytes()[:-40])
    with pytest.raises(Faults) as raised:
        prepare(tmp_path / "run", request_for(own_phantoms, tiny_bundle))
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


def test_values_that_the_bundle_does_not_know_can_be_chosen(own_phantoms, tiny_bundle, tmp_path):
    for label in (own_phantoms / "labelsTr").glob("*.nii.gz"):
        relabel(label, lambda x: np.where(x == 1, 7, x))
    (own_phantoms / "dataset.json").write_text(
        json.dumps(
            {"training": json.loads((own_phantoms / "dataset.json").read_text())["training"]}
        )
    )
    with pytest.raises(Faults, match=r"unknown label values \(got 7,"):
        prepare(tmp_path / "run", request_for(own_phantoms, tiny_bundle))
    prepare(tmp_path / "run", request_for(own_phantoms, tiny_bundle, labels=("7=pancreas",)))
    config = json.loads((tmp_path / "run" / "configs" / "train.json").read_text())
    assert config["label_map"] == {"0": 0, "1": 0, "7": 1}


def test_with_another_number_of_classes_the_head_is_new(own_phantoms, tiny_bundle, tmp_path):
    cases = find_cases(own_phantoms)
    relabel(cases[0]["label"], lambda x: x * 2)
    listed = tmp_path / "list.json"  # which declares no values
    listed.write_text(json.dumps({"validation": cases[:2], "training": cases[2:]}))
    bundle, labels = str(tiny_bundle), ("1=pancreas", "2=tumour")
    prepare(tmp_path / "run", request_for(listed, bundle, labels=labels, pretrained=bundle))
    said = describe_weights(tmp_path / "run")
    assert (
        "; new: heads.0.weight (shape (3, 4, 1, 1, 1), file has (2, 4, 1, 1, 1)), heads.0.b" in said
    )
    record = json.loads((tmp_path / "run" / "run.json").read_text())["weights"]["fit"]
    assert list(record["reshaped"]) == ["heads.0.weight", "heads.0.bias"]
    assert record["missing"] == record["unused"] == []


def test_a_class_that_validation_alone_holds_is_said(own_phantoms, tiny_bundle, tmp_path):
    cases = find_cases(own_phantoms)
    relabel(cases[0]["label"], lambda x: x * 2)
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"validation": cases[:2], "training": cases[2:]}))
    labels = ("1=pancreas", "2=tumour")
    doubts = prepare(tmp_path / "run", request_for(listed, tiny_bundle, labels=labels))
    assert f"{cases[0]['label']}: has class 2, which no training case has" in doubts[-1]


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
        ({"settings": {"patience": "much"}}, "patience: no whole number .got 'much'"),
        ({"settings": {"spacing": [8, 8]}}, r"spacing \(=\[8, 8\]\) must be 3 numbers"),
        ({"settings": {"spacing": None}}, r"spacing \(=None\) must be 3 numbers"),
        ({"settings": {"roi_size": 64}}, r"roi_size \(=64\) must be 3 numbers"),
        ({"settings": {"roi_size": [64.5, 64, 64]}}, r"roi_size .* must be whole numbers"),
        ({"settings": {"spacing": [8, 0, 8]}}, r"spacing \(=\[8, 0, 8\]\) must be above 0"),
        ({"settings": {"roi_size": [32, 32]}}, r"roi_size \(=\[32, 32\]\) must be 3 numbers"),
        ({"settings": {"intensity_range": None}}, r"intensity_range \(=None\) must be 2 numbers"),
        ({"settings": {"intensity_range": ["a", 1]}}, r"intensity_range .* must be numbers"),
        ({"settings": {"intensity_range": [9, 9]}}, r"intensity_range .* must begin below its end"),
        ({"settings": {"learning_rate": -1}}, r"learning_rate \(=-1\) must be 0 or more"),
        ({"settings": {"expected#1#inside": False}}, r"expected#1#inside: the training derives"),
        ({"settings": {"cache_dir": __file__}}, "cannot be written to"),
        ({"settings": {"cache_dir": 5}}, r"cache_dir \(=5\) must be a folder"),
        ({"settings": {"nonsense": 9}}, "nonsense: the bundle's configs have no such id"),
        ({"settings": {"keep_pieces_from": 0}}, r"keep_pieces_from \(=0\) must be a number"),
        ({"labels": ("9=liver",)}, "9"),
    ],
)
def test_what_cannot_be_asked_for_is_said(own_phantoms, tiny_bundle, tmp_path, more, said):
    with pytest.raises(ValueError, match=said):
        prepare(tmp_path / "run", request_for(own_phantoms, tiny_bundle, **more))
    assert not (tmp_path / "run").exists()


def test_cases_of_one_name_are_named_after_their_folders(own_phantoms, tiny_bundle, tmp_path):
    for number, case in enumerate(find_cases(own_phantoms)):
        folder = tmp_path / "named" / str(number)
        folder.mkdir(parents=True)
        for key in ("image", "label"):
            shutil.copy(case[key], folder / f"{key}.nii.gz")
    cases = [{key: f"{n}/{key}.nii.gz" for key in ("image", "label")} for n in range(4)]
    listed = tmp_path / "named" / "list.json"
    listed.write_text(json.dumps({"training": cases[:2], "validation": cases[2:]}))
    prepare(tmp_path / "run", request_for(listed, tiny_bundle))
    names = names_in_split(read_split(tmp_path / "run" / "split.json"))
    assert sorted(names.values()) == ["0", "1", "2", "3"]


def test_an_unknown_gate_is_named(own_phantoms, tiny_bundle, tmp_path):
    with pytest.raises(ValueError, match="--gate strong: soft, none, hard, reinforce expected"):
        train(own_phantoms, "-o", tmp_path / "run", "--bundle", tiny_bundle, "--gate", "strong")


def test_a_full_disk_is_one_line_that_names_the_file(tiny_bundle, phantoms, tmp_path, monkeypatch):
    fill_disk_at(2, monkeypatch)
    words = (phantoms, "-o", tmp_path / "run", "--bundle", tiny_bundle, *TINY)
    with pytest.raises(OSError, match=r"last\.pt: cannot be written \(No space .*; make room"):
        train(*words)
    monkeypatch.undo()
    assert train(*words, "--resume").exit_code == 0
    assert len(progress_rows(tmp_path / "run")) == 2
