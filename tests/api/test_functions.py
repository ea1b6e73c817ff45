"""The functions of `monai_attn`: evaluate, compare, plan, report; and what a notebook completes."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

import monai_attn
from monai_attn.metrics.scores import write_summary
from monai_attn.planning.rules import write_plan


def test_a_notebook_completes_the_public_names():
    script = (
        "import sys, monai_attn; print(*dir(monai_attn));"
        "print('torch' in sys.modules, 'monai' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    names, late = done.stdout.splitlines()
    assert {"load", "evaluate", "compare", "plan", "train", "report", "Volume"} <= {*names.split()}
    assert late == "False False", "torch and MONAI are imported on first use"
    assert all(getattr(monai_attn, name) is not None for name in names.split())


@pytest.fixture
def pair(phantoms):
    image, label = (sorted((phantoms / name).iterdir())[1] for name in ("imagesTr", "labelsTr"))
    return image, label


def test_a_result_is_scored_against_a_file_or_an_array(tiny_bundle, pair):
    scan, reference = pair
    result = monai_attn.load(tiny_bundle, "cpu", backend="eager").segment(scan)
    truth = np.asarray(nib.load(reference).dataobj)
    overlap = 2 * ((result.labels == 1) & (truth == 1)).sum()
    dice = overlap / ((result.labels == 1).sum() + (truth == 1).sum())
    for source in (reference, str(reference), nib.load(reference), (truth, result.affine)):
        (score,) = monai_attn.evaluate(result, source)
        assert (score.case, score.label) == (result.name, 1)
        assert score.dice == pytest.approx(dice)
    itself = monai_attn.evaluate(reference, nib.load(reference))
    assert [score.dice for score in itself] == [1.0]


def test_another_grid_and_no_label_map_are_refused(pair):
    scan, reference = pair
    image = nib.load(reference)
    moved = (np.asarray(image.dataobj), image.affine + np.diag([0, 0, 0.5, 0]))
    with pytest.raises(ValueError, match=r"is not on the grid of reference \(got corners"):
        monai_attn.evaluate(reference, moved)
    with pytest.raises(ValueError, match="whole numbers"):
        monai_attn.evaluate(nib.load(scan), nib.load(reference))


def test_scores_of_files_are_compared(phantoms, tmp_path):
    scores = monai_attn.evaluate(phantoms / "labelsTr", phantoms / "labelsTr")
    paths = [write_summary(scores, tmp_path / f"{name}.json") for name in "ab"]
    (difference,) = monai_attn.compare(*paths, metrics=["dice"])
    assert (difference.n, difference.difference) == (4, 0)


def test_a_plan_suits_the_data_and_is_written(tiny_bundle, phantoms, tmp_path):
    seen = []
    plan = monai_attn.plan(
        phantoms, bundle=tiny_bundle, memory="4GiB", on_case=lambda *call: seen.append(call)
    )
    assert plan.fingerprint.cases == 4
    assert seen == [(stage, i, 4) for stage in ("checking", "measuring") for i in range(1, 5)]
    written = json.loads(write_plan(plan, tmp_path / "plan.json").read_text())
    assert written["roi_size"] == list(plan.overrides["roi_size"])


def test_a_recipe_that_is_unknown_is_refused(phantoms, tmp_path):
    with pytest.raises(ValueError, match=r"recipe \(='adam'\) must be nnunet"):
        monai_attn.train(phantoms, tmp_path / "run", recipe="adam")
    assert not (tmp_path / "run").exists()


def test_a_training_is_one_call(tiny_bundle, phantoms, tmp_path):
    scores = monai_attn.train(
        phantoms,
        tmp_path / "run",
        device="cpu",
        bundle=tiny_bundle,
        epochs=1,
        validation=0.5,
        settings={"num_samples": 1, "batch_size": 1, "val_interval": 1},
    )
    assert len({score.case for score in scores}) == 2
    model = monai_attn.load(tmp_path / "run", "cpu")
    assert model.label_names == {1: "pancreas"}


def test_a_gate_that_does_not_exist_is_refused_before_anything_is_made(phantoms, tmp_path):
    with pytest.raises(ValueError, match=r"gate \(='firm'\) must be one of"):
        monai_attn.train(phantoms, tmp_path / "run", gate="firm")
    assert not (tmp_path / "run").exists()


def test_a_report_needs_references_for_their_options(tmp_path):
    with pytest.raises(ValueError, match="describe a reference"):
        monai_attn.report(tmp_path, ignore=2)


BAD_CALLS = {
    "compare nothing": (lambda: monai_attn.compare([], []), "no scores to compare"),
    "labels": (lambda: monai_attn.evaluate("a", "b", labels="pancreas"), "numbers expected"),
    "classes": (lambda: monai_attn.evaluate("a", "b", classes=[7]), "a mapping expected"),
    "no option": (lambda: monai_attn.train("a", "b", epoch=3), "train: there is no option epoch"),
    "no bundle": (lambda: monai_attn.load(None), "bundle of type NoneType: a name"),
    "backend": (lambda: monai_attn.load(backend="tf"), r"backend \(='tf'\) must be one of"),
    "precision": (lambda: monai_attn.load(precision="half"), r"precision \(='half'\) must be"),
    "memory": (lambda: monai_attn.load(memory=-1), r"memory \(=-1\) must be above 0"),
}


@pytest.mark.parametrize(("call", "said"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_a_bad_call_says_what_is_expected(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()


@pytest.mark.parametrize("labels", ["1=pancreas", ["1=pancreas"], {1: "pancreas"}])
def test_labels_are_a_text_several_or_a_mapping(tiny_bundle, phantoms, labels):
    plan = monai_attn.plan(phantoms, labels=labels, bundle=tiny_bundle, memory="4GiB")
    assert plan.labels == ("1=pancreas",)
