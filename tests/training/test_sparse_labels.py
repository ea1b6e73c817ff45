"""A data set labelled on every third slice goes the whole way: plan, train, scores, calibration, reports."""

import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import monai_attn
from monai_attn.analysis.doctor import check_data
from monai_attn.bundle.open import open_bundle
from monai_attn.cli.app import app
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.listed_splits import read_split
from monai_attn.training.calibration import calibrate
from monai_attn.training.calibration_measurements import volumes_of
from monai_attn.training.request import Request
from monai_attn.training.run import prepare
from scans import fails, faults

IGNORE = 2
PANCREAS = ("--label", "1=pancreas")
ONE_EPOCH = (*PANCREAS, "--epochs", 1, "--set", "val_interval=1", "--validation", 0.5)


def run(*words):
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def change_labels(case, change):
    image = nib.load(case["label"])
    labels = change(np.asarray(image.dataobj).astype(np.uint8))
    nib.save(nib.Nifti1Image(labels, image.affine), case["label"])


def every_third_slice(labels):
    labels[:, :, np.arange(labels.shape[2]) % 3 > 0] = IGNORE
    return labels


def only_slice_5(labels):
    known = labels[:, :, 5].copy()
    labels[:] = IGNORE
    labels[:, :, 5] = np.where(known == IGNORE, 1, known)
    return labels


def write_sparse(folder, phantoms, change=every_third_slice):
    """The phantoms as an nnU-Net data set that declares its ignore value."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in find_cases(phantoms):
        name = case["label"].rsplit("/", 1)[1]
        channel = name.replace(".nii.gz", "_0000.nii.gz")
        shutil.copy(case["image"], folder / "imagesTr" / channel)
        shutil.copy(case["label"], folder / "labelsTr" / name)
    content = {"labels": {"background": 0, "pancreas": 1, "ignore": IGNORE}}
    content |= {"file_ending": ".nii.gz", "channel_names": {"0": "CT"}, "numTraining": 4}
    (folder / "dataset.json").write_text(json.dumps(content))
    for case in find_cases(folder):
        change_labels(case, change)
    return folder


@pytest.fixture(scope="module")
def sparse(phantoms, tmp_path_factory):
    return write_sparse(tmp_path_factory.mktemp("sparse") / "data", phantoms)


@pytest.fixture
def data(sparse, tmp_path):
    """A data set that may be changed."""
    return shutil.copytree(sparse, tmp_path / "data")


@pytest.fixture(scope="module")
def trained(sparse, tiny_bundle, tmp_path_factory):
    """A run of one epoch, by the command, and its terminal output."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, run("train", sparse, "-o", folder, "--bundle", tiny_bundle, *ONE_EPOCH)


def config(folder, name="train"):
    return json.loads((folder / "configs" / f"{name}.json").read_text())


# --- what comes out


def test_the_run_knows_its_ignore_value(trained):
    folder, _ = trained
    assert config(folder)["ignore"] == open_bundle(folder, "cpu").ignore == IGNORE
    assert config(folder)["num_classes"] == 2
    names = config(folder, "metadata")["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert names == {"0": "background", "1": "pancreas"}


def test_it_learned_and_was_scored_on_known_voxels(trained, sparse):
    folder, output = trained
    assert "ignored voxels in 2 of 2 cases: only the known voxels are scored" in output
    scores = json.loads((folder / "eval" / "scores.json").read_text())["cases"]
    assert len(scores) == 2
    for score in scores:
        label = nib.load(sparse / "labelsTr" / f"{score['case']}.nii.gz")
        ml = abs(np.linalg.det(label.affine[:3, :3])) / 1000
        expected, found = (
            np.asarray(nib.load(path).dataobj)
            for path in (label.get_filename(), folder / "eval" / f"{score['case']}_0000_seg.nii.gz")
        )
        known = expected != IGNORE
        assert score["label"] == 1
        assert score["reference_ml"] == pytest.approx((expected == 1).sum() * ml)
        assert score["predicted_ml"] == pytest.approx(((found == 1) & known).sum() * ml)
        assert (score["surface_distance_mm"], score["nsd_2mm"]) == (None, None)
        assert set(np.unique(found)) <= {0, 1}, "a class everywhere"
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    assert all(value.isfinite().all() for value in state.values())


def test_evaluate_scores_the_run_as_the_run_did(trained, sparse, tmp_path):
    folder, _ = trained
    for case in read_split(folder / "split.json")["validation"]:
        name = case["label"].rsplit("/", 1)[1]
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "out").mkdir(exist_ok=True)
        shutil.copy(case["label"], tmp_path / "labels" / name)
        made = folder / "eval" / name.replace(".nii.gz", "_0000_seg.nii.gz")
        shutil.copy(made, tmp_path / "out" / name.replace(".nii.gz", "_seg.nii.gz"))
    table = tmp_path / "scores.json"
    run("evaluate", tmp_path / "out", tmp_path / "labels", "--ignore", IGNORE, "-o", table)
    assert json.loads(table.read_text()) == json.loads(
        (folder / "eval" / "scores.json").read_text()
    )


def test_a_finished_run_can_be_scored_again(trained, sparse, tiny_bundle):
    folder, _ = trained
    before = (folder / "eval" / "scores.json").read_bytes()
    run("train", sparse, "-o", folder, "--bundle", tiny_bundle, *ONE_EPOCH, "--resume")
    assert (folder / "eval" / "scores.json").read_bytes() == before


@pytest.mark.slow
def test_it_is_calibrated_on_known_voxels_and_on_no_volume(trained, sparse, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    assert config(folder, "metadata")["calibration"]["voxels"] > 0
    _, found = calibrate(folder, device="cpu", intervals=True)
    assert len(found.measured.partly) == 2
    assert set(np.unique(found.measured.sample.labels)) <= {0, 1}
    assert volumes_of(1, found.measured, ()) == ([], [])
    assert found.confidence.factors == {}
    assert found.count_covered(1) is None
    said = config(folder, "metadata")["calibration"]
    assert (len(said["cases"]), said["interval_cases"]) == (2, [])
    one = find_cases(sparse)[0]
    (tmp_path / "list.json").write_text(json.dumps({"training": [one]}))
    words = ("calibrate", folder, tmp_path / "list.json", "--interval", "--check", "--device")
    assert "1 of 1 cases have ignored voxels, and so no true volume" in run(*words, "cpu")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*lets everything through")  # as a new hard gate does
def test_slices_with_hard_gates_train_too(sparse, tiny_slice_bundle, tmp_path):
    words = ("--bundle", tiny_slice_bundle, "--gate", "reinforce", *ONE_EPOCH)
    run("train", sparse, "-o", tmp_path / "run", *words)
    loss = config(tmp_path / "run")["loss"]
    assert loss["ignore"] == loss["loss"]["loss"]["ignore"] == "@ignore"
    assert (tmp_path / "run" / "eval" / "scores.json").is_file()


@pytest.mark.slow
def test_with_every_voxel_known_the_weights_are_those_without_an_ignore_value(
    phantoms, tiny_bundle, tmp_path
):
    known = write_sparse(tmp_path / "data", phantoms, lambda labels: labels)
    weights = []
    for name in ("declared", "none"):
        if name == "none":
            path = known / "dataset.json"
            content = json.loads(path.read_text())
            del content["labels"]["ignore"]
            path.write_text(json.dumps(content))
        run("train", known, "-o", tmp_path / name, "--bundle", tiny_bundle, *ONE_EPOCH)
        assert config(tmp_path / name)["ignore"] == (None if name == "none" else IGNORE)
        path = tmp_path / name / "models" / "model.pt"
        weights.append(torch.load(path, weights_only=True))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# --- before it


def test_a_plan_is_of_known_voxels_and_hands_the_value_on(sparse, phantoms, tmp_path):
    plans = {}
    for name, source in (("sparse", sparse), ("full", phantoms)):
        path = tmp_path / f"{name}.json"
        output = run("plan", source, *PANCREAS, "--memory", "2GiB", "-o", path)
        plans[name] = json.loads(path.read_text())
        assert ("pancreas (ml, known part)" in output) == (name == "sparse")
    assert plans["sparse"]["ignore"] == IGNORE
    assert "ignore" not in plans["full"]
    assert plans["sparse"]["labels"] == ["1=pancreas"]
    volumes = [plans[n]["fingerprint"]["classes"]["pancreas"]["volume_ml"] for n in plans]
    assert volumes[0]["median"] < 0.6 * volumes[1]["median"]
    hu = [plans[n]["fingerprint"]["hu_percentiles"]["50"] for n in plans]
    assert hu[0] == pytest.approx(hu[1], abs=15)


@pytest.mark.parametrize("option", ["settings", "declared"])
def test_the_value_comes_from_the_data_set_or_from_the_user(data, tiny_bundle, tmp_path, option):
    settings = {}
    if option == "settings":
        undeclared(data)
        settings = {"ignore": IGNORE}
    request = Request(str(tiny_bundle), str(data), labels=("1=pancreas",), settings=settings)
    prepare(tmp_path / "run", request)
    assert config(tmp_path / "run")["ignore"] == IGNORE
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"] == settings


BAD_REQUESTS = {
    "chosen as a class": ({"labels": ("1=a", "2=b")}, "label '2=b': 2 is the ignore value"),
    "another than declared": (
        {"settings": {"ignore": 3}},
        "declares another ignore value (got 3, expected 2)",
    ),
    "no number": (
        {"settings": {"ignore": "two"}},
        "ignore (='two') must be a whole number above 0",
    ),
}


@pytest.mark.parametrize(("asked", "fault"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_an_ignore_value_that_cannot_be_is_refused(sparse, tiny_bundle, tmp_path, asked, fault):
    fails(fault, prepare, tmp_path / "run", Request(str(tiny_bundle), str(sparse), **asked))
    assert not (tmp_path / "run").exists()


def undeclared(data):
    """The same data set without `dataset.json`, and so without the names of channels."""
    (data / "dataset.json").unlink()
    for image in (data / "imagesTr").iterdir():
        image.rename(image.with_name(image.name.replace("_0000", "")))
    return data


def test_a_declared_ignore_value_is_no_class_of_the_bundle(sparse, tiny_bundle, tmp_path):
    bundle = open_bundle(tiny_bundle, "cpu")
    assert bundle.classes[IGNORE] == 1, "a tumour of the pancreas, in other data sets"
    prepare(tmp_path / "run", Request(str(tiny_bundle), str(sparse)))
    made = config(tmp_path / "run")
    assert (made["ignore"], made["label_map"]) == (IGNORE, {"0": 0, "1": 1})
    assert {finding.verdict for finding in check_data(sparse, bundle)} == {"sound"}
    assert monai_attn.plan(sparse, bundle=tiny_bundle, memory="2GiB").labels == ("1=pancreas",)


def test_an_ignore_value_that_may_be_a_class_of_the_bundle_is_refused(data, tiny_bundle, tmp_path):
    request = Request(str(tiny_bundle), str(undeclared(data)), settings={"ignore": IGNORE})
    fails("ignore (=2) is also class 1 ", prepare, tmp_path / "run", request)
    assert not (tmp_path / "run").exists()


# --- a bundle that was trained with an ignore value


def test_the_value_of_the_bundle_counts_where_the_data_set_has_none(trained, data, tmp_path):
    folder, _ = trained
    doubts = prepare(tmp_path / "run", Request(str(folder), str(undeclared(data))))
    assert config(tmp_path / "run")["ignore"] == IGNORE
    assert any(
        "voxels of value 2 count nowhere, as in the training of the" in one for one in doubts
    )
    findings = [*check_data(data, open_bundle(folder, "cpu"))]
    assert {finding.verdict for finding in findings[:-1]} == {"sound"}
    assert "voxels of value 2 count nowhere" in " ".join(findings[-1].doubts)
    with pytest.warns(UserWarning, match="voxels of value 2 count nowhere"):
        assert monai_attn.plan(data, bundle=folder, memory="2GiB").fingerprint.ignore == IGNORE


OTHERS = {
    "declared as a label": ({"pancreas": 1, "tumour": 2}, ("pancreas", "tumour"), {}, None),
    "chosen as a class": (None, ("1=pancreas", "2=tumour"), {}, None),
    "of several declared values": ({"whole": [1, 2], "tumour": 2, "ignore": 3}, (), {}, 3),
    "switched off": (None, ("1=pancreas",), {"ignore": None}, None),
}


@pytest.mark.parametrize(("labels", "chosen", "settings", "ignore"), OTHERS.values(), ids=OTHERS)
def test_the_value_of_the_bundle_does_not_hide_a_label(
    trained, data, tmp_path, labels, chosen, settings, ignore
):
    folder, _ = trained
    if labels is None:
        undeclared(data)
    else:
        content = json.loads((data / "dataset.json").read_text())
        content |= {"labels": {"background": 0, **labels}, "regions_class_order": [1, 2]}
        (data / "dataset.json").write_text(json.dumps(content))
    request = Request(str(folder), str(data), labels=chosen, settings=settings)
    prepare(tmp_path / "run", request)
    assert config(tmp_path / "run")["ignore"] == ignore


def test_a_case_without_a_known_voxel_is_refused(data, tiny_bundle, tmp_path):
    case = find_cases(data)[2]
    change_labels(case, lambda labels: np.full_like(labels, IGNORE))
    request = Request(str(tiny_bundle), str(data), labels=("1=pancreas",))
    (line,) = faults(prepare, tmp_path / "run", request)
    assert line.startswith(
        f"{case['label']}: every voxel has the ignore value 2 (expected some known"
    )


def test_cases_whose_known_slices_the_grid_misses_are_named_before_the_training(
    data, tiny_bundle, tmp_path
):
    cases = find_cases(data)
    for case in cases:
        change_labels(case, only_slice_5)
    listed = json.loads((data / "dataset.json").read_text())
    # a case that validates is scored on its own grid
    listed |= {"training": cases[:2], "validation": cases[2:]}
    (tmp_path / "list.json").write_text(json.dumps(listed))
    request = Request(
        str(tiny_bundle), str(tmp_path / "list.json"), settings={"spacing": [8.0, 8.0, 40.0]}
    )
    lines = faults(prepare, tmp_path / "run", request)
    assert [line.split(":")[0] for line in lines] == [case["label"] for case in cases[:2]]
    assert (
        "ignored on the network's grid, which misses the known slices. Choose a finer" in lines[0]
    )
    assert not (tmp_path / "run").exists()
    prepare(tmp_path / "run", replace(request, settings={"spacing": [8.0, 8.0, 8.0]}))


def test_doctor_says_how_much_is_ignored(data, tiny_bundle):
    change_labels(find_cases(data)[1], lambda labels: np.full_like(labels, IGNORE))
    words = ["doctor", str(data), "--bundle", str(tiny_bundle), "--device", "cpu"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 1
    assert result.output.count("labels 1; 64 % ignored") == 3
    assert "every voxel has the ignore value 2" in result.output
    fails(
        "another ignore value (got 1,", CliRunner().invoke, app, [*words, "--ignore", "1"], **RAISE
    )


RAISE = {"catch_exceptions": False}
