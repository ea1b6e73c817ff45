"""What the 3D bundle has beside the contract: a locator, and the sources that its scans come from."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from bundle_runs import assert_on_the_grid_of, bundle_run, opened
from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_cases
from monai_attn.phantom import write_phantoms

SHIPPED = find_bundle(DEFAULT_BUNDLE)

# MONAI warns that a config is code each time one is opened
pytestmark = pytest.mark.filterwarnings(
    "ignore:parsing config_file:UserWarning", "ignore:executing the bundle config:UserWarning"
)


# --- the locator


def inference_config():
    return json.loads((SHIPPED / "configs" / "inference.json").read_text())


def test_the_locator_overlay_trains_what_inference_uses():
    parser, inference = opened(SHIPPED, "train", "locator"), inference_config()
    network = parser.get_parsed_content("network_def")
    used = ConfigParser({"num_classes": 2, "net": inference["locator_def"]})
    network.load_state_dict(used.get_parsed_content("net").state_dict())
    assert network(torch.rand(1, 1, 61, 67, 43)).shape == (1, 2, 61, 67, 43)
    assert parser.get("spacing") == inference["locator"]["spacing"]
    assert parser.get("intensity_range") == inference["intensity_range"]
    assert parser.get("best_weights").endswith("/locator.pth'")
    randomized = type(parser.get_parsed_content("train#preprocessing").transforms[-2]).__name__
    assert randomized == "RandGaussianNoised"


def test_the_shipped_locator_was_made_for_the_shipped_weights():
    inference = opened(SHIPPED, "inference")
    locator = inference.get_parsed_content("locator")
    assert locator.fault == ""
    state = torch.load(SHIPPED / "models" / "locator.pth", weights_only=True)
    locator.network.load_state_dict(state)
    assert sum(p.numel() for p in locator.network.parameters()) < 500_000


def test_the_locator_holds_plausible_what_is_expected():
    """One range, so that the two cannot contradict each other."""
    expected = inference_config()["expected"]["1"]
    locator = opened(SHIPPED, "inference").get_parsed_content("locator")
    assert locator.volume_range == expected["volume_ml"]
    assert locator.extent_range == expected["extent_mm"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")  # air is no scan
def test_focus_finds_the_pancreas_of_a_phantom_and_nothing_in_air(tmp_path):
    write_phantoms(tmp_path, 1, seed=7000)
    (case,) = find_cases(tmp_path)
    labels = {}
    for mode in ("focus", "full"):
        bundle = open_bundle(mode=mode, device="cpu")
        result = bundle.segmenter()(case["image"])
        assert result.plan.mode == mode
        labels[mode] = result.labels
    assert len(result.plan.windows) > 2
    truth = nib.load(case["label"]).get_fdata() > 0
    dice = {}
    for mode, found in labels.items():
        dice[mode] = 2 * (truth & (found > 0)).sum() / (truth.sum() + (found > 0).sum())
    assert dice["full"] > 0.9
    assert dice["focus"] == pytest.approx(dice["full"], abs=0.01)

    air = tmp_path / "air.nii.gz"
    nib.save(nib.Nifti1Image(np.full((60, 60, 40), -1000, np.int16), np.diag([4, 4, 4, 1])), air)
    plan = open_bundle(mode="focus", device="cpu").segmenter()(air).plan
    assert (plan.mode, plan.fallback) == ("full", "the locator found nothing")


def test_training_the_locator_leaves_the_other_weights(tiny_bundle, phantoms, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    before = (root / "models" / "model.pt").read_bytes()
    (root / "models" / "locator.pth").unlink()
    done = bundle_run(
        *("--config_file", "['configs/train.json','configs/locator.json']"),
        *("--dataset_dir", phantoms, "--epochs", 1, "--val_interval", 1),
        *("--spacing", "[16,16,16]", "--roi_size", "[24,24,12]", "--split#validation", 0.3),
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    assert "decoder.0.gate.psi.weight" in torch.load(root / "models" / "locator.pth")
    assert (root / "models" / "model.pt").read_bytes() == before


# --- where scans come from


@pytest.mark.parametrize("source", ["a file", "a datalist"])
def test_inference_takes_more_than_a_folder(tiny_bundle, phantoms, tmp_path, source):
    scans = sorted((phantoms / "imagesTr").glob("*.nii.gz"))[: 1 if source == "a file" else 2]
    dataset = scans[0]
    if source == "a datalist":
        dataset = tmp_path / "datalist.json"
        dataset.write_text(json.dumps({"testing": [{"image": str(scan)} for scan in scans]}))
    done = bundle_run(
        *("--config_file", "configs/inference.json", "--dataset_dir", dataset),
        *("--output_dir", tmp_path / "out"),
        cwd=tiny_bundle,
    )
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in written] == [s.name.replace(".nii.gz", "_seg.nii.gz") for s in scans]
    for labels, scan in zip(written, scans, strict=True):
        assert_on_the_grid_of(labels, scan)


@pytest.mark.parametrize("make", [True, False], ids=["empty", "missing"])
def test_a_folder_without_scans_is_an_error(tiny_bundle, tmp_path, make):
    folder = tmp_path / "scans"
    if make:
        folder.mkdir()
    done = bundle_run(
        "--config_file", "configs/inference.json", "--dataset_dir", folder, cwd=tiny_bundle
    )
    assert done.returncode != 0
    assert f"{folder}: " in done.stderr
