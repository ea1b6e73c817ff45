"""Trainings on images of several channels, from the data set to labels, by every reader of the bundle."""

import json
import shutil
import warnings

import nibabel as nib
import numpy as np
import pytest

import monai_attn
from bundle_runs import SLICE_BUNDLE, bundle_run
from command_line import run as run_command
from conftest import TINY, TINY_SLICES, balance
from monai_attn import DEFAULT_BUNDLE
from monai_attn.analysis.doctor import check_data
from monai_attn.bundle.open import open_bundle
from monai_attn.io.errors import ScanWarning
from monai_attn.phantom import write_phantoms

QUICK = {"num_workers": 0, "num_samples": 1, "batch_size": 1}


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Four MR phantoms, each a file of two volumes, T1 and T2."""
    folder = tmp_path_factory.mktemp("mr")
    write_phantoms(folder, 4, modality="MR", shape=(40, 36, 24), spacing=(9, 9, 9))
    return folder


def as_nnunet(source, folder):
    """The same cases as nnU-Net lays them out, a file for each channel."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for path in sorted((source / "imagesTr").iterdir()):
        image = nib.load(path)
        name = path.name.removesuffix(".nii.gz")
        for number in (0, 1):
            part = nib.Nifti1Image(np.asarray(image.dataobj)[..., number], image.affine)
            nib.save(part, folder / "imagesTr" / f"{name}_{number:04d}.nii.gz")
        shutil.copy(source / "labelsTr" / path.name, folder / "labelsTr" / path.name)
    declared = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "pancreas": 1},
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(declared))
    return folder


@pytest.fixture(scope="module", params=[DEFAULT_BUNDLE, SLICE_BUNDLE], ids=["3D", "2D"])
def trained(request, sequences, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    tiny = TINY if request.param == DEFAULT_BUNDLE else TINY_SLICES
    with warnings.catch_warnings():
        # after one epoch it may find nothing, which is doubtful
        warnings.simplefilter("ignore", ScanWarning)
        monai_attn.train(
            sequences, run, bundle=request.param, epochs=1, settings=QUICK | tiny, device="cpu"
        )
    balance(run)  # so that there are labels to compare
    return run


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.mark.slow
def test_a_training_writes_its_channels_where_the_bundle_is_read(trained):
    train, inference, metadata = (
        json.loads((trained / "configs" / f"{name}.json").read_text())
        for name in ("train", "inference", "metadata")
    )
    slices = inference.get("slice_channels", 1)
    channels = [{"name": "T1", "scaling": "zscore"}, {"name": "T2", "scaling": "zscore"}]
    for config in (train, inference):
        assert config["channels"] == channels
        assert config["network_def"]["in_channels"] == 2 * slices
    assert inference["inferer"]["body_mask"] is None
    assert inference.get("locator") is None
    image = metadata["network_data_format"]["inputs"]["image"]
    assert image["num_channels"] == 2 * slices
    assert image["channel_def"]["0"] == ("T1" if slices == 1 else "T1, slice below")


@pytest.mark.slow
def test_all_ways_to_give_the_channels_lead_to_the_same_labels(trained, sequences, tmp_path):
    data = as_nnunet(sequences, tmp_path / "nnunet")
    model = monai_attn.load(trained, "cpu", backend="eager", precision="float32")
    whole = sequences / "imagesTr" / "phantom_0001.nii.gz"
    parts = [data / "imagesTr" / f"phantom_0001_{number:04d}.nii.gz" for number in (0, 1)]
    labels = model.segment(whole).labels
    assert labels.any()
    assert (labels == 0).any()
    np.testing.assert_array_equal(model.segment(parts).labels, labels)
    np.testing.assert_array_equal(model.segment([nib.load(p) for p in parts]).labels, labels)
    assert (model.segment(parts[::-1]).labels != labels).any()
    results = model.segment_folder(data / "imagesTr", tmp_path / "folder", report=True)
    assert [result.error for result in results] == [""] * 4
    np.testing.assert_array_equal(
        voxels(tmp_path / "folder" / "phantom_0001_0000_seg.nii.gz"), labels
    )
    model.segment_folder(sequences, tmp_path / "whole", report=True)
    np.testing.assert_array_equal(voxels(tmp_path / "whole" / "phantom_0001_seg.nii.gz"), labels)
    for folder in ("folder", "whole"):
        page = (tmp_path / folder / "report.html").read_text()
        assert "labels alone are shown" not in page
    manifest = tmp_path / "folder" / "phantom_0001_0000_seg.manifest.json"
    assert json.loads(manifest.read_text())["channels"] == {
        "T1": str(parts[0]),
        "T2": str(parts[1]),
    }
    done = bundle_run(
        *("--config_file", "configs/inference.json", "--dataset_dir", data / "imagesTr"),
        *("--output_dir", tmp_path / "monai", "--device", "$torch.device('cpu')"),
        cwd=trained,
    )
    assert done.returncode == 0, done.stderr
    monai = voxels(tmp_path / "monai" / "phantom_0001_0000_seg.nii.gz")
    assert (monai != labels).mean() < 1e-3  # windows in another order of sums


def test_gates_are_held_open_on_all_channels(trained, sequences, tmp_path, monkeypatch):
    raw = as_nnunet(sequences, tmp_path / "raw") / "imagesTr"
    whole = [sequences / "imagesTr" / "phantom_0001.nii.gz"]
    label, found = sequences / "labelsTr" / "phantom_0001.nii.gz", []
    for files in (whole, sorted(raw.glob("phantom_0001_*"))):
        table = tmp_path / f"{len(files)}.json"
        words = (*files, "--reference", label, "--bundle", trained, "-o", table)
        assert run_command(monkeypatch, "ablate", *words) == 0
        found.append([row | {"case": ""} for row in json.loads(table.read_text())["cases"]])
    assert found[0] == found[1]
    assert all(row["plain_reference_dice"] is not None for row in found[0])


@pytest.mark.slow
def test_wrong_channels_are_refused_in_one_line(
    trained, tiny_bundle, sequences, tmp_path, monkeypatch, capsys
):
    def segment(*arguments):
        assert run_command(monkeypatch, "segment", *arguments) in (1, 2)
        return " ".join(capsys.readouterr().err.split())

    data = as_nnunet(sequences, tmp_path / "nnunet")
    parts = [data / "imagesTr" / f"phantom_0001_{number:04d}.nii.gz" for number in (0, 1)]
    out = ["-o", str(tmp_path / "out"), "--device", "cpu", "--backend", "eager"]
    (tmp_path / "t1.nii.gz").symlink_to(parts[0])
    one = segment(tmp_path / "t1.nii.gz", *out, "--bundle", trained)
    assert "wrong number of channels (got 1, expected 2: T1, T2, in this order)" in one
    only = segment(parts[0], *out, "--bundle", trained)
    assert f"{parts[1]}: does not exist, so that case phantom_0001 lacks channel 1, T2" in only
    two = segment(data, *out, "--bundle", tiny_bundle)
    assert two.count("wrong number of channels (got 2: ") == 4
    assert "expected 1: CT" in two
    assert not list(tmp_path.glob("out/*.nii.gz"))


@pytest.mark.slow
def test_doctor_checks_a_data_set_as_a_training_would(trained, tiny_bundle, sequences, tmp_path):
    data = as_nnunet(sequences, tmp_path / "nnunet")
    for bundle in (trained, tiny_bundle):
        found = list(check_data(data, open_bundle(bundle, "cpu", backend="eager")))
        assert [finding.verdict for finding in found] == ["sound"] * 4
        assert found[0].facts.endswith("; labels 1")
