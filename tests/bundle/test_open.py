"""Bundles are found, opened, and refused with one line."""

import json
import shutil

import pytest
import torch

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle, find_device
from monai_attn.bundle.open import open_bundle
from scans import fails


def test_a_shipped_bundle_is_found_by_name_and_any_by_its_folder(tiny_bundle):
    assert find_bundle(DEFAULT_BUNDLE).name == DEFAULT_BUNDLE
    assert find_bundle(tiny_bundle) == tiny_bundle.resolve()


def test_a_bare_name_is_the_shipped_bundle_and_a_path_the_folder(tiny_bundle, monkeypatch):
    monkeypatch.chdir(tiny_bundle.parent)
    assert find_bundle(tiny_bundle.name) != tiny_bundle.resolve()
    assert find_bundle(f"./{tiny_bundle.name}") == tiny_bundle.resolve()


def test_a_config_that_makes_no_bundle_is_named(tiny_bundle, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    for content in ("{", "{}", '{"network": {"_target_": "torch.nn.Conv3d", "colour": 1}}'):
        (root / "configs" / "inference.json").write_text(content)
        with pytest.raises(ValueError, match="bundle: its configs do not make a bundle") as raised:
            open_bundle(root, "cpu")
        assert "\n" not in str(raised.value)


def test_a_missing_bundle_names_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=rf"no bundle there .*{DEFAULT_BUNDLE}"):
        find_bundle(tmp_path)


def test_a_cross_validation_is_no_bundle_but_names_one(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle, tmp_path / "cv" / "fold_0")
    fails(
        "cv: a cross-validation (expected one bundle). Name the bundle of one fold, such as "
        f"{tmp_path}/cv/fold_0.",
        find_bundle,
        tmp_path / "cv",
    )


def test_an_opened_bundle_has_its_weights_and_names(tiny_bundle):
    bundle = open_bundle(tiny_bundle, "cpu")
    weights = torch.load(tiny_bundle / "models" / "model.pt", weights_only=True)
    network = bundle.network
    assert not network.training
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert bundle.label_names == {1: "pancreas"}
    assert "not for patients" in bundle.notice


def test_the_shipped_weights_fit_the_shipped_network():
    names = open_bundle(device="cpu").network.state_dict()
    assert "decoder.0.gate.psi.weight" in names


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "model.pt: no weights"),
        (lambda path: torch.save({"a": torch.zeros(1)}, path), "model.pt: does not fit"),
        (lambda path: torch.save([torch.zeros(1)], path), "model.pt: does not fit"),
        (lambda path: path.write_bytes(b"weights"), "model.pt: cannot be read as weights"),
    ],
    ids=["missing", "of another network", "a list", "no weights at all"],
)
def test_bad_weights_are_named(tiny_bundle, tmp_path, damage, message):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    damage(root / "models" / "model.pt")
    with pytest.raises(ValueError, match=message) as raised:
        open_bundle(root, "cpu")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["configs/inference.json", "models/model.pt", "models/locator.pth"]
)
def test_the_digest_depends_on_every_file_that_labels_depend_on(tiny_bundle, tmp_path, name):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    first, second = open_bundle(root, "cpu"), open_bundle(root, "cpu")
    before = first.sha256
    (root / name).write_bytes((root / name).read_bytes() + b" ")
    assert second.sha256 != before


def test_devices():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("toaster", "meta", "mps"):
        with pytest.raises(ValueError, match=rf"device \(='{name}'\) must be auto, cpu or cuda"):
            find_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees 0 GPUs; use cpu or auto"):
            find_device("cuda")


@pytest.mark.parametrize(("name", "index"), [("auto", 3), ("cuda", 3), ("cuda:1", 1)])
def test_without_a_number_the_gpu_is_the_one_torch_uses(name, index, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert find_device(name) == torch.device("cuda", index)


def test_a_window_of_one_number_and_no_version(tiny_bundle, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    for name, change in (("inference", {"roi_size": 16}), ("metadata", {})):
        path = root / "configs" / f"{name}.json"
        content = json.loads(path.read_text()) | change
        path.write_text(json.dumps({k: v for k, v in content.items() if k != "version"}))
    bundle = open_bundle(root, "cpu", backend="eager")
    assert bundle.inferer.roi_size == 16
    assert bundle.segmenter().settings["bundle"] == {"name": "bundle", "version": ""}
