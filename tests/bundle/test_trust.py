"""What is never done, whatever one is given: no network, no code from weights, no name taken for one."""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from hashlib import sha256

import pytest
import torch

from bundle_runs import SLICE_BUNDLE
from command_line import run
from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle import find
from monai_attn.bundle.find import find_bundle, is_shipped
from monai_attn.bundle.open import open_bundle
from monai_attn.bundle.trust import SHIPPED_WEIGHTS
from monai_attn.inference.weights import load_weights

# run before anything else: a socket to another machine is an error, and so is a name to look up
CLOSED = """
import socket
def closed(*arguments, **options):
    raise AssertionError(f"a socket was used: {arguments}")
socket.getaddrinfo = socket.create_connection = closed
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = closed
"""


def without_network(script, *arguments, home):
    """Run a script in a home where nothing was used before, with every socket closed."""
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    return subprocess.run(
        [sys.executable, "-c", CLOSED + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("segment", "{scan}", "-o", "{tmp}/out", "--bundle", "{bundle}"),
        ("evaluate", "{label}", "{label}"),
        ("phantom", "{tmp}/phantoms", "-n", "1"),
        ("doctor",),
        ("doctor", "{scan}", "--bundle", "{bundle}"),
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_no_command_needs_a_network(phantoms, tiny_bundle, tmp_path, arguments):
    names = {
        "scan": sorted((phantoms / "imagesTr").iterdir())[0],
        "label": sorted((phantoms / "labelsTr").iterdir())[0],
        "tmp": tmp_path,
        "bundle": tiny_bundle,
    }
    script = "import sys\nfrom monai_attn.cli import main\nmain()"
    filled = [argument.format(**names) for argument in arguments]
    done = without_network(script, *filled, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "socket" not in done.stderr


@pytest.mark.slow
def test_monai_runs_the_bundle_without_a_network(phantoms, tiny_bundle, tmp_path):
    script = """
import sys
from monai.bundle import run
root, data, out = sys.argv[1:]
run(config_file=f"{root}/configs/inference.json", bundle_root=root, dataset_dir=data, output_dir=out)
"""
    done = without_network(script, tiny_bundle, phantoms, tmp_path / "out", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 4


# --- weights


class Bomb:
    """A pickle that runs code as it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    "save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))]
)
def test_code_in_weights_is_never_run(tmp_path, save):
    path, mark = tmp_path / "model.pt", tmp_path / "mark"
    save({"a": Bomb(mark)}, path)
    with pytest.raises(ValueError, match=r"model.pt: cannot be read as weights; copy or train"):
        load_weights(torch.nn.Linear(1, 1), path, torch.device("cpu"))
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "the bomb is one"


def test_weights_that_are_damaged_anywhere_are_one_line(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(300):
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(raw)
        try:
            load_weights(torch.nn.Linear(3, 2), path, torch.device("cpu"))
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017


def test_the_shipped_weights_are_those_of_the_list():
    bundles = [find_bundle(name) for name in (DEFAULT_BUNDLE, SLICE_BUNDLE)]
    models = {
        f"{root.name}/models/{file.name}": sha256(file.read_bytes()).hexdigest()
        for root in bundles
        for file in (root / "models").glob("*.pt*")
    }
    assert models == SHIPPED_WEIGHTS


@pytest.mark.parametrize("name", ["model.pt", "locator.pth"])
def test_other_weights_in_a_shipped_bundle_are_refused_before_they_are_opened(
    tmp_path, monkeypatch, name
):
    root = tmp_path / DEFAULT_BUNDLE
    shutil.copytree(find_bundle(DEFAULT_BUNDLE), root, ignore=shutil.ignore_patterns("eval"))
    monkeypatch.setattr(find, "SHIPPED", (tmp_path,))
    assert is_shipped(DEFAULT_BUNDLE)
    assert not is_shipped(root)
    content = bytearray((root / "models" / name).read_bytes())
    content[-100] ^= 1
    (root / "models" / name).write_bytes(content)
    opened = []
    monkeypatch.setattr(torch, "load", lambda *_, **__: opened.append(1))
    with pytest.raises(ValueError, match=rf"{name}: not the weights that were shipped. Install"):
        open_bundle(DEFAULT_BUNDLE)
    assert not opened


# --- names


def test_a_bundle_folder_named_like_an_expression_is_a_folder(
    phantoms, tiny_bundle, tmp_path, monkeypatch
):
    """MONAI takes texts that begin with $, @ or % in a config for code, references and files."""
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "mark"
    for name in (f"$__import__('os').mkdir('{mark.name}')", "@bundle_root", "%inference"):
        shutil.copytree(tiny_bundle, tmp_path / name)
        arguments = ("segment", scan, "-o", f"out{name}", "--bundle", f"./{name}")
        assert run(monkeypatch, *arguments) == 0
        manifest = next((tmp_path / f"out{name}").glob("*.manifest.json"))
        assert json.loads(manifest.read_text())["settings"]["bundle"]["name"] == name
    assert not mark.exists()
