"""A data set of nnU-Net with regions and an ignore value goes the whole way, in both bundles."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bundle_runs import bundle_run
from monai_attn.bundle.open import open_bundle
from monai_attn.cli.app import app
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.listed_splits import read_split
from monai_attn.training.request import Request
from monai_attn.training.run import prepare
from scans import fails

IGNORE = 3
LABELS = {"background": 0, "whole": [1, 2], "tumour": 2, "ignore": IGNORE}
REGIONS = {"1": [1, 2], "2": [2]}
ONE_EPOCH = ("--epochs", 1, "--set", "val_interval=1", "--validation", 0.5)


def run(*words):
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write_nested(folder, phantoms, **declared):
    """The phantoms, half of the pancreas a tumour, and the lowest fifth of the slices unlabelled."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in find_cases(phantoms):
        name = case["label"].rsplit("/", 1)[1]
        shutil.copy(case["image"], folder / "imagesTr" / name.replace(".nii.gz", "_0000.nii.gz"))
        image = nib.load(case["label"])
        labels = np.asarray(image.dataobj).astype(np.uint8)
        centre = int(np.median(np.nonzero(labels)[0]))
        labels[centre:] *= 2
        labels[:, :, : labels.shape[2] // 5] = IGNORE
        nib.save(nib.Nifti1Image(labels, image.affine), folder / "labelsTr" / name)
    content = {"labels": LABELS, "regions_class_order": [1, 2], "file_ending": ".nii.gz"}
    content |= {"channel_names": {"0": "CT"}, "numTraining": 4} | declared
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def nested(phantoms, tmp_path_factory):
    return write_nested(tmp_path_factory.mktemp("nested") / "data", phantoms)


def config(folder, name="train"):
    return json.loads((folder / "configs" / f"{name}.json").read_text())


def labels_in(path):
    return np.asarray(nib.load(path).dataobj)


# --- what is made


@pytest.fixture(scope="module")
def prepared(nested, tiny_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "run"
    doubts = prepare(folder, Request(str(tiny_bundle), str(nested), validation=0.5))
    return folder, doubts


def test_a_run_knows_its_regions(prepared):
    folder, doubts = prepared
    assert doubts == ()
    train, inference = config(folder), config(folder, "inference")
    assert train["regions"] == inference["regions"] == REGIONS
    assert train["num_classes"] == inference["num_classes"] == 2
    assert train["ignore"] == IGNORE
    loss = train["loss"]["loss"]
    assert loss["_target_"] == "monai_attn.training.RegionDiceBCELoss"
    assert (loss["ignore"], loss["regions"], "softmax" in loss) == ("@ignore", "@regions", False)
    for part in ("train", "validate"):
        (metric,) = train[part]["key_metric"].values()
        assert metric["include_background"]
        assert "num_classes" not in metric
    pred = config(folder, "metadata")["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "background", "1": "whole", "2": "tumour"}
    assert pred["num_channels"] == 2
    assert inference["expected"].keys() <= {"1", "2"}


def test_chosen_labels_make_regions_or_classes_again(prepared, nested, tmp_path):
    folder, _ = prepared
    bundle, data = str(folder), str(nested)
    prepare(tmp_path / "a", Request(bundle, data, ("1,2=organ", "2=cyst"), validation=0.5))
    assert config(tmp_path / "a")["regions"] == REGIONS
    prepare(tmp_path / "b", Request(bundle, data, ("1=organ", "2=cyst"), validation=0.5))
    train = config(tmp_path / "b")
    assert train["regions"] is config(tmp_path / "b", "inference")["regions"] is None
    assert train["num_classes"] == 3
    assert train["loss"]["loss"] == {
        "_target_": "monai_attn.training.MaskedDiceCELoss",
        "ignore": "@ignore",
        "include_background": False,
        "to_onehot_y": True,
        "softmax": True,
        "batch": False,
    }
    (metric,) = train["validate"]["key_metric"].values()
    assert (metric["include_background"], metric["num_classes"]) == (False, "@num_classes")


def test_heads_of_classes_do_not_start_those_of_regions(nested, tiny_bundle, tmp_path):
    """Both have two channels here, but other ones."""
    request = Request(str(tiny_bundle), str(nested), validation=0.5, pretrained=str(tiny_bundle))
    prepare(tmp_path / "run", request)
    fit = json.loads((tmp_path / "run" / "run.json").read_text())["weights"]["fit"]
    assert set(fit["anew"]) == {"heads.0.weight", "heads.0.bias"}
    assert config(tmp_path / "run")["initial_network"]["anew"] == [*fit["anew"]]
    assert fit["anew"]["heads.0.bias"].startswith("a softmax over classes in the file")


@pytest.mark.parametrize(
    ("settings", "change", "said"),
    [
        ({"regions": REGIONS}, {}, "regions: not a setting, since the loss depends on them."),
        ({}, {"drop": "regions"}, "its configs have no id regions"),
        (
            {},
            {"loss": {"_target_": "DiceLoss"}},
            "its loss cannot be used for structures that overlap",
        ),
    ],
)
def test_a_bundle_that_cannot_train_regions_says_so(
    nested, tiny_bundle, tmp_path, settings, change, said
):
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    train = config(bundle)
    train.pop(change.pop("drop", ""), None)
    (bundle / "configs" / "train.json").write_text(json.dumps({**train, **change}))
    request = Request(str(bundle), str(nested), settings=settings)
    fails(said, prepare, tmp_path / "run", request)
    assert not (tmp_path / "run").exists()


def test_a_value_in_no_region_is_refused(phantoms, tiny_bundle, tmp_path):
    labels = {"background": 0, "whole": [1, 4], "ignore": 5}
    data = write_nested(tmp_path / "data", phantoms, labels=labels, regions_class_order=[1])
    with pytest.raises(ValueError, match=r"unknown label values \(got 2, 3, expected 0, 1, 4\)"):
        prepare(tmp_path / "run", Request(str(tiny_bundle), str(data)))


# --- the whole way


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny_bundle", "tiny_slice_bundle"])
def test_regions_go_the_whole_way(kind, nested, request, tmp_path):
    bundle, folder = request.getfixturevalue(kind), tmp_path / "run"
    output = run("train", nested, "-o", folder, "--bundle", bundle, "--seed", 1, *ONE_EPOCH)
    assert "not calibrated" not in output
    opened = open_bundle(folder, "cpu", backend="eager")
    assert opened.decoding.activation == "sigmoid"
    assert opened.label_names == {1: "whole", 2: "tumour"}
    scores = json.loads((folder / "eval" / "scores.json").read_text())["cases"]
    assert [score["label"] for score in scores] == [1, 2] * 2
    named = ("--region", "1,2=whole", "--region", "2=tumour", "--ignore", IGNORE)
    for words in (named, ("--region", nested)):
        assert score(folder, nested, tmp_path / "scores.json", *words) == scores
    case = read_split(folder / "split.json")["validation"][0]
    show_regions(folder, case["image"])

    options = ("--attention", "--uncertainty", "--report", "--backend", "eager")
    options += ("--precision", "float32")  # as in the bundle's own run
    run("segment", case["image"], "--bundle", folder, *options, "-o", tmp_path / "out")
    (made,) = (tmp_path / "out").glob("*_seg.nii.gz")
    written = labels_in(made)
    assert set(np.unique(written)) >= {1, 2}
    (row,) = json.loads((tmp_path / "out" / "summary.json").read_text())["cases"]
    ml = abs(np.linalg.det(nib.load(made).affine[:3, :3])) / 1000
    assert row["volumes_ml"]["whole"] == pytest.approx((written > 0).sum() * ml, abs=1e-3)
    assert row["volumes_ml"]["tumour"] == pytest.approx((written == 2).sum() * ml, abs=1e-3)

    shutil.copytree(nested / "imagesTr", tmp_path / "scans")
    arguments = ("--dataset_dir", tmp_path / "scans", "--output_dir", tmp_path / "again")
    done = bundle_run("--config_file", "configs/inference.json", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(labels_in(tmp_path / "again" / made.name), written)

    arguments = ("--dataset_dir", nested, "--output_dir", tmp_path / "evaluated")
    files = "['configs/train.json','configs/evaluate.json']"
    done = bundle_run("--config_file", files, *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "evaluated" / "val_mean_dice_raw.csv").is_file()


def score(folder, nested, table, *words):
    """Score the label maps of a run's validation by the command, as the run has done."""
    rows = []
    for case in read_split(folder / "split.json")["validation"]:
        name = case["label"].rsplit("/", 1)[1].removesuffix(".nii.gz")
        made = folder / "eval" / f"{name}_0000_seg.nii.gz"
        run("evaluate", made, case["label"], *words, "-o", table)
        rows += [{**row, "case": name} for row in json.loads(table.read_text())["cases"]]
    return sorted(rows, key=lambda row: (row["case"], row["label"]))


def show_regions(folder, scan):
    """Move the heads until at least a half of a scan is in the whole, and at most a fifth in the tumour."""
    slabs = []
    open_bundle(folder, "cpu", backend="eager").segmenter()(scan, on_slab=slabs.append)
    logits = torch.cat([slab.logits[:, slab.seen[0]] for slab in slabs], dim=1)
    path = folder / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    state["heads.0.bias"] -= torch.stack(
        [logits[0].quantile(0.5) - 0.01, logits[1].quantile(0.8)]  # most voxels may be alike
    )
    torch.save(state, path)
    metadata = config(folder, "metadata")
    del metadata["calibration"]  # it was fitted for other weights
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
