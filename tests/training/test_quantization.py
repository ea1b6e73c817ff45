"""A trained bundle is quantised on its split: what is stored, and what is not."""

import json
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.listed_splits import read_split
from monai_attn.training import quantization
from monai_attn.training.quantization import Quantization, collect_windows, quantize


@pytest.fixture
def run(tiny_bundle, phantoms, tmp_path):
    """A copy of a tiny bundle, with a split."""
    root = tmp_path / "run"
    shutil.copytree(tiny_bundle, root)
    cases = [
        {"image": str(image), "label": str(phantoms / "labelsTr" / image.name)}
        for image in sorted((phantoms / "imagesTr").iterdir())
    ]
    split = {"training": cases[:2], "validation": cases[2:]}
    (root / "split.json").write_text(json.dumps(split))
    return root


def test_the_label_that_differs_most_counts():
    found = Quantization({"1": 0.8, "2": 0.5}, {"1": 0.81, "2": 0.48}, cases=2, windows=3)
    assert found.difference == pytest.approx(-0.02)


def test_one_window_of_each_case_is_drawn_always_the_same(run):
    opened = open_bundle(run, "cpu", backend="eager", precision="float32")
    cases = read_split(run / "split.json")["training"]
    windows, again = (
        collect_windows(opened.segmenter(), cases, lambda done, total: None) for _ in range(2)
    )
    assert [tuple(window.shape[1:]) for window in windows] == [opened.window] * 2
    assert all(torch.equal(a, b) for a, b in zip(windows, again, strict=True))
    assert windows[0].max() > 0
    assert not torch.equal(*windows)


@pytest.fixture
def with_nncf():
    for package in ("openvino", "nncf"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.mark.slow
def test_a_quantised_bundle_segments(run, phantoms, with_nncf):
    opened, found = quantize(run)
    assert abs(found.difference) <= 0.003
    assert (found.cases, found.windows) == (2, 2)
    facts = json.loads((run / "configs" / "metadata.json").read_text())["int8"]
    assert facts["weights_sha256"] == opened.weights_sha256
    assert facts["dice_difference"] == pytest.approx(found.difference, abs=1e-5)
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    quick, exact = (open_bundle(run, "cpu", precision=p) for p in ("int8", "float32"))
    assert quick.segmenter().settings["precision"] == "int8"
    labels, expected = quick.segmenter()(scan).labels, exact.segmenter()(scan).labels
    assert np.mean(labels != expected) < 0.01
    assert quick.segmenter(attention=True)(scan).attention.keys() == {0}
    assert quick.sha256 != opened.sha256


@pytest.mark.slow
def test_what_loses_dice_is_not_stored(run, with_nncf, monkeypatch):
    dices = iter([{"1": 0.8}, {"1": 0.79}])
    monkeypatch.setattr(quantization, "mean_dice", lambda scores: next(dices))
    before = sorted(path.read_bytes() for path in run.glob("*/*"))
    with pytest.raises(ValueError, match=r"mean Dice in int8 differs by -0\.0100 from float32"):
        quantize(run)
    assert sorted(path.read_bytes() for path in run.glob("*/*")) == before


def test_missing_packages_are_named(run, monkeypatch):
    monkeypatch.setattr("monai_attn.inference.backends.quantize.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"is not installed; pip install 'monai-attn\[int8\]'$"):
        quantize(run)


def test_a_shipped_bundle_is_not_changed():
    with pytest.raises(ValueError, match="a shipped bundle cannot be changed"):
        quantize("pancreas_ct_attention_segmentation")
