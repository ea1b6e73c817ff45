"""Backends: each computes what torch computes, and nothing leaves the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_attn.inference.backends import onnxruntime
from monai_attn.inference.backends.parity import BOUNDS, compare
from monai_attn.networks.gates import hard_gates
from tests.inference.backends.networks import (
    WINDOWS,
    build_network,
    eager_outputs,
    random_windows,
    skip_without,
)

# --- each backend computes what torch computes

COMPUTES = [
    ("eager", "float32"),
    ("eager", "bfloat16"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("onnxruntime", "float32"),
]
CONTAINERS = {"tensor": None, "list": list, "tuple": tuple}


@pytest.mark.parametrize(("name", "precision"), COMPUTES)
@pytest.mark.parametrize(
    ("spatial_dims", "container"), [(2, "tensor"), (2, "tuple"), (3, "tensor"), (3, "list")]
)
def test_agrees_with_eager_on_batches_of_any_size(
    load_with_own_cache, name, precision, spatial_dims, container
):
    net = build_network(spatial_dims, CONTAINERS[container])
    backend = load_with_own_cache(net, WINDOWS[spatial_dims], name=name, precision=precision)
    assert (backend.name, backend.precision) == (name, precision)
    agrees(backend, net, spatial_dims, container)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("grid", ["gating", "skip"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_hard_gate_chooses_the_same(load_with_own_cache, name, grid, spatial_dims):
    net = build_network(spatial_dims, tuple, gate=("hard", {"grid": grid}))
    (gate,) = hard_gates(net)

    def centre(gate, inputs):
        gate.psi.bias.sub_(gate.logits(*inputs).mean())

    with torch.no_grad(), gate.register_forward_pre_hook(centre):  # some places on either side
        net(random_windows(spatial_dims))
    backend = load_with_own_cache(net, WINDOWS[spatial_dims], name=name, precision="float32")
    agrees(backend, net, spatial_dims, "tuple")
    assert backend(random_windows(spatial_dims))[1].unique().tolist() == [0.0, 1.0]


@pytest.mark.slow
def test_torch_compile_agrees_too(load_with_own_cache):
    skip_without("compile")
    net = build_network(2, tuple)
    agrees(load_with_own_cache(net, name="compile", precision="float32"), net, 2, "tuple")


def agrees(backend, net, spatial_dims, container):
    for batch in (1, 3):
        x = random_windows(spatial_dims, batch)
        outputs = backend(x)
        assert isinstance(outputs, torch.Tensor if container == "tensor" else tuple)
        levels = outputs if isinstance(outputs, tuple) else (outputs,)
        bound = BOUNDS[backend.precision][0]
        assert compare(levels, eager_outputs(net, x)).error < bound
        assert all(level.dtype == torch.float32 and not level.requires_grad for level in levels)


@pytest.mark.parametrize(("name", "precision"), COMPUTES)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_result_is_not_changed_by_the_next_call(load_with_own_cache, name, precision, batch):
    backend = load_with_own_cache(build_network(container=tuple), name=name, precision=precision)
    first = backend(random_windows(batch=batch, seed=1))
    kept = [level.clone() for level in first]
    second = backend(random_windows(batch=batch, seed=2))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("roi", [(64, 96), (70, 97), (9, 11)], ids=str)
def test_a_graph_of_a_small_window_holds_for_the_whole_one(load_with_own_cache, roi):
    net, x = build_network(), torch.rand(1, 1, *roi)
    backend = load_with_own_cache(net, (1, *roi), name="openvino", precision="float32")
    torch.testing.assert_close(backend(x), eager_outputs(net, x)[0], atol=1e-4, rtol=1e-4)


def test_a_strided_window_and_one_of_monai_are_taken(load_with_own_cache):
    from monai.data import MetaTensor

    net = build_network()
    backend = load_with_own_cache(net, name="openvino", precision="float32")
    x = random_windows(batch=2)
    torch.testing.assert_close(backend(x.mT.contiguous().mT), backend(x))
    torch.testing.assert_close(backend(MetaTensor(x)), backend(x))
    assert type(backend(MetaTensor(x))) is torch.Tensor


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_windows_of_another_size_are_refused(load_with_own_cache, name):
    backend = load_with_own_cache(build_network(), name=name, precision="float32")
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 8\)\) must be \(B, 1, 20, 32\), for which"):
        backend(torch.rand(1, 1, 8, 8))


def test_bfloat16_is_what_it_says(load_with_own_cache):
    """OpenVINO would take the CPU's favourite precision for a compiled model, whatever it was made for."""
    skip_without("openvino", "bfloat16")
    net = build_network()
    x = random_windows()
    for _ in ("compiled", "from the cache"):
        errors = {
            precision: compare(
                (load_with_own_cache(net, name="openvino", precision=precision)(x),),
                eager_outputs(net, x),
            ).error
            for precision in ("float32", "bfloat16")
        }
        assert errors["float32"] < 1e-5 < 1e-4 < errors["bfloat16"]


# --- nothing leaves the machine

ALONE = """
import os, socket, sys
from pathlib import Path

def refuse(*args, **kwargs):
    raise SystemExit(f"a connection was tried: {args}")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import torch
from monai_attn.inference.backends import load_backend

net = torch.nn.Conv2d(1, 2, 3, padding=1).eval()
for _ in range(2):
    load_backend(net, (1, 8, 8), name=sys.argv[1], precision="float32", cache=Path(sys.argv[2]))
telemetry = [m for m in sys.modules if m.startswith("openvino_telemetry")]
threads = [t for t in __import__("threading").enumerate() if t.name != "MainThread"]
assert not telemetry, telemetry
assert not threads, threads
assert "ORT_DISABLE_TELEMETRY" not in os.environ
"""


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_library_sends_nothing_and_writes_nothing_at_home(tmp_path, name):
    skip_without(name)
    home = tmp_path / "home"
    home.mkdir()
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", ALONE, name, str(tmp_path / "cache")]
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(root),
    }  # no sign of a CI
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []
    assert len(list((tmp_path / "cache").iterdir())) == 1, "the second time finds the first"


def test_a_setting_of_the_users_is_put_back(monkeypatch):
    skip_without("onnxruntime")
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    onnxruntime.library()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


COME_AND_GONE = """
import gc, os, signal
import torch
from monai_attn.inference.backends.openvino import export, load

blob = export(torch.nn.Conv2d(1, 2, 1).eval(), (1, 8, 8), "float32")
networks = [load(blob, (1, 8, 8), "float32", single=True) for _ in range(2)]
while networks:
    del networks[0]
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_signal_is_heard_after_networks_came_and_went():
    """A data loader's worker that ends is one: it killed a process that had used two networks."""
    skip_without("openvino")
    done = subprocess.run([sys.executable, "-c", COME_AND_GONE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
