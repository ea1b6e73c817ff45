"""Runs of the bundles by `monai.bundle`: training, inference and evaluation."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import SaveImaged

from bundle_runs import assert_on_the_grid_of, bundle_run, opened, random_window
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_images
from monai_attn.metrics.evaluation import evaluate_files
from monai_attn.runs.batch import segment_files
from monai_attn.runs.output_paths import output_paths

# MONAI warns that a config is code each time one is opened
pytestmark = pytest.mark.filterwarnings(
    "ignore:parsing config_file:UserWarning", "ignore:executing the bundle config:UserWarning"
)


@pytest.fixture(scope="module")
def trained(each_tiny_bundle, phantoms, tmp_path_factory):
    """The tiny bundle after one epoch, run from its own folder."""
    root = tmp_path_factory.mktemp("trained") / "bundle"
    shutil.copytree(each_tiny_bundle, root)
    (root / "models" / "model.pt").unlink()
    done = bundle_run(
        *("--config_file", "configs/train.json", "--dataset_dir", phantoms),
        *("--epochs", 1, "--val_interval", 1),
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    return root


def test_training_writes_a_checkpoint_and_reports_the_key_metric(trained):
    weights = torch.load(trained / "models" / "model.pt", weights_only=True)
    assert "decoder.0.gate.psi.weight" in weights


def test_inference_from_elsewhere_gives_the_labels_of_the_command_line(trained, phantoms, tmp_path):
    configs, scans = trained / "configs", sorted((phantoms / "imagesTr").glob("*.nii.gz"))
    done = bundle_run(
        *("--config_file", configs / "inference.json", "--bundle_root", trained),
        *("--dataset_dir", phantoms / "imagesTr", "--output_dir", tmp_path / "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in written] == [s.name.replace(".nii.gz", "_seg.nii.gz") for s in scans]
    segmenter = open_bundle(trained, "cpu", backend="eager", precision="float32").segmenter()
    for labels, scan in zip(written, scans, strict=True):
        assert_on_the_grid_of(labels, scan)
        np.testing.assert_array_equal(nib.load(labels).dataobj, segmenter(scan).labels)


def test_the_attention_overlay_writes_what_segment_writes(trained, phantoms, tmp_path):
    """Byte for byte, labels and maps: also on an oblique scan, which is last."""
    done = bundle_run(
        *("--config_file", "['configs/inference.json','configs/attention.json']"),
        *("--dataset_dir", phantoms / "imagesTr", "--output_dir", tmp_path / "out"),
        cwd=trained,
    )
    assert done.returncode == 0, done.stderr
    opened = open_bundle(trained, "cpu", backend="eager", precision="float32")
    segmenter = opened.segmenter(attention=True)
    scans = [Path(scan) for scan in find_images(phantoms / "imagesTr")]
    targets = output_paths(scans, tmp_path / "expected")
    assert [result.error for result in segment_files(segmenter, targets)] == [""] * 4
    expected = sorted((tmp_path / "expected").glob("*.nii.gz"))
    assert len(expected) == 4 * 2, "labels, and the map of the one gate"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [p.name for p in expected]
    for path in expected:
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("gate", ["soft", None])
def test_the_attention_overlay_gives_the_maps_of_the_gates_there_are(each_tiny_bundle, gate):
    parser = opened(each_tiny_bundle, "inference", "attention")
    parser["network_def#gate"], parser["device"] = gate, "cpu"
    outputs = parser.get_parsed_content("network").eval()(random_window(each_tiny_bundle))
    steps = parser.get_parsed_content("postprocessing").transforms
    saved = [step for step in steps if isinstance(step, SaveImaged)]
    assert len(outputs) == len(saved) == (2 if gate else 1)


def test_evaluation_scores_on_the_scans_own_grid(trained, phantoms, tmp_path):
    done = bundle_run(
        *("--config_file", "['configs/train.json','configs/evaluate.json']"),
        *("--dataset_dir", phantoms, "--output_dir", tmp_path),
        cwd=trained,
    )
    assert done.returncode == 0, done.stderr
    heading, *rows = (tmp_path / "val_mean_dice_raw.csv").read_text().splitlines()
    expected = evaluate_files(tmp_path, phantoms / "labelsTr")
    assert len(rows) == len(expected) == 4
    for row, score in zip(rows, expected, strict=True):
        assert score.case in row
        assert float(row.split(",")[-1 if "mean" not in heading else 1]) == pytest.approx(
            score.dice, abs=1e-4
        )
    scans = sorted((phantoms / "imagesTr").glob("*.nii.gz"))
    for scan in scans:
        assert_on_the_grid_of(tmp_path / scan.name.replace(".nii.gz", "_seg.nii.gz"), scan)


@pytest.mark.slow
@pytest.mark.parametrize("validation", [0.5, 0.1], ids=["a case for each rank", "one case"])
def test_two_ranks_train_and_evaluate(each_tiny_bundle, phantoms, tmp_path, validation):
    root = tmp_path / "bundle"
    shutil.copytree(each_tiny_bundle, root)
    (root / "models" / "model.pt").unlink()
    done = bundle_run(
        *("--config_file", "['configs/train.json','configs/multi_gpu_train.json']"),
        *("--dataset_dir", phantoms, "--epochs", 1, "--val_interval", 1, "--batch_size", 2),
        *("--split#validation", validation),
        cwd=root,
        ranks=2,
    )
    assert done.returncode == 0, done.stderr
    assert (root / "models" / "model.pt").is_file()
    done = bundle_run(
        "--config_file",
        "['configs/train.json','configs/evaluate.json','configs/multi_gpu_evaluate.json']",
        *("--dataset_dir", phantoms, "--output_dir", tmp_path / "out"),
        cwd=root,
        ranks=2,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*_seg.nii.gz"))) == 4
    rows = (tmp_path / "out" / "val_mean_dice_raw.csv").read_text().splitlines()
    assert len(rows) == 1 + 4


@pytest.mark.slow
def test_more_ranks_than_cases_cannot_evaluate(each_tiny_bundle, phantoms, tmp_path):
    """They say so, and do not wait for each other."""
    data = tmp_path / "data"
    for folder in ("imagesTr", "labelsTr"):
        (data / folder).mkdir(parents=True)
        scan = sorted((phantoms / folder).iterdir())[0]
        shutil.copy(scan, data / folder)
    done = bundle_run(
        "--config_file",
        "['configs/train.json','configs/evaluate.json','configs/multi_gpu_evaluate.json']",
        *("--dataset_dir", data, "--output_dir", tmp_path / "out"),
        cwd=each_tiny_bundle,
        ranks=2,
    )
    assert done.returncode
    assert "cases (=1) must be as many as the 2 processes or more. Start 1 with" in done.stderr
