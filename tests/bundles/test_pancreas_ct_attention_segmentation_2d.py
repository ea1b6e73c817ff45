"""What the 2D bundle's command line, backends and plans make of slices."""

import json
import shutil

import nibabel as nib
import pytest
import torch

from bundle_runs import SLICE_BUNDLE
from command_line import run
from monai_attn.bundle.find import find_bundle
from monai_attn.bundle.open import open_bundle


@pytest.fixture
def scan(phantoms):
    return sorted((phantoms / "imagesTr").iterdir())[0]


def test_the_command_line_keeps_attention_and_a_manifest(
    scan, tiny_slice_bundle, tmp_path, monkeypatch
):
    options = ("--bundle", tiny_slice_bundle, "--attention", "--backend", "eager")
    options += ("--precision", "float32")
    assert run(monkeypatch, "segment", scan, "-o", tmp_path, *options) == 0
    name = scan.name.replace(".nii.gz", "")
    attention = nib.load(tmp_path / f"{name}_attention_0.nii.gz")
    values = attention.get_fdata()
    assert values.shape == nib.load(scan).shape
    seen = values[values >= 0]
    assert 0.5 < seen.mean() <= seen.max() <= 1  # a new gate lets nearly everything through
    said = json.loads((tmp_path / f"{name}_seg.manifest.json").read_text())
    assert said["settings"]["bundle"]["name"] == SLICE_BUNDLE
    assert said["mode"] == "full"


def test_labels_are_the_same_with_attention_slabs_and_batches(scan, tiny_slice_bundle):
    plain, watched = (
        open_bundle(tiny_slice_bundle, "cpu", backend="eager", precision="float32")
        for _ in range(2)
    )
    watched.inferer.sw_batch_size = 1
    ours, theirs = plain.segmenter()(scan), watched.segmenter(attention=True)(scan)
    assert (ours.plan.batch, theirs.plan.batch) == (8, 1)
    assert 0 < ours.labels.mean() < 1
    assert (ours.labels != theirs.labels).mean() < 1e-3  # rounding


@pytest.mark.parametrize(
    "backend", ["openvino", pytest.param("onnxruntime", marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the exporter's
def test_backends_take_windows_of_two_dimensions(scan, tiny_slice_bundle, backend):
    pytest.importorskip(backend)
    found = [
        open_bundle(tiny_slice_bundle, "cpu", backend=name, precision="float32").segmenter()(scan)
        for name in ("eager", backend)
    ]
    changed = (found[0].labels != found[1].labels).mean()
    assert changed < 1e-3


def test_an_estimate_counts_slices(scan, tiny_slice_bundle):
    bundle = open_bundle(tiny_slice_bundle, "cpu", backend="eager", precision="float32")
    estimate = bundle.segmenter().estimate(scan)
    assert (estimate.plan.roi_size, estimate.plan.axis) == ((32, 32, 1), 2)
    assert estimate.plan.slabs == len({window[2].start for window in estimate.plan.windows}) > 10


def test_there_is_no_locator_to_focus_with(tiny_slice_bundle):
    with pytest.raises(ValueError, match=r"has no locator to focus with; use mode full$"):
        open_bundle(tiny_slice_bundle, "cpu", mode="focus")


def test_monais_own_inferer_can_be_named_in_the_config(scan, tiny_slice_bundle, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_slice_bundle, root)
    config = root / "configs" / "inference.json"
    content = json.loads(config.read_text())
    theirs = {"_target_": "SliceInferer", "spatial_dim": 2, "roi_size": "@roi_size"}
    config.write_text(json.dumps({**content, "inferer": {**theirs, "overlap": 0.5}}))
    calls = []
    opened = open_bundle(root, "cpu", backend="eager", precision="float32")
    labels = opened.segmenter()(scan, lambda *call: calls.append(call)).labels
    assert calls[0] == (0, None)
    assert labels.shape == nib.load(scan).shape


def test_the_shipped_weights_are_of_a_2d_network():
    state = torch.load(find_bundle(SLICE_BUNDLE) / "models" / "model.pt", weights_only=True)
    assert state["decoder.0.gate.psi.weight"].ndim == 4
