"""Backends: each computes what torch computes, and the fastest that does is found once and kept."""

import importlib
import os
import re
import stat
import subprocess
import sys
from importlib.util import find_spec
from math import inf, nan
from pathlib import Path

import pytest
import torch
from torch import nn

from monai_attn import AttentionUNet
from monai_attn.inference.backends import BACKENDS, eager, load_backend, onnxruntime, openvino
from monai_attn.inference.backends.backend import PACKAGES, plan
from monai_attn.inference.backends.cache import Cache, Entry
from monai_attn.inference.backends.eager import has_bfloat16
from monai_attn.inference.backends.network_digest import digest_network
from monai_attn.inference.backends.parity import BOUNDS, Parity, compare, synthetic_window
from monai_attn.networks.gates import AdditiveGate, hard_gates

CPU = torch.device("cpu")
WINDOWS = {2: (1, 20, 32), 3: (1, 16, 13, 16)}


class WithMaps(nn.Module):
    """A network that returns logits and attention maps, in the container it is given."""

    def __init__(self, network, container):
        super().__init__()
        self.network, self.container = network, container

    def forward(self, x):
        logits, maps = self.network.forward_with_attention(x)
        return self.container([logits, *maps])


def build(spatial_dims=2, container=None, **arguments):
    torch.manual_seed(0)
    net = AttentionUNet(spatial_dims, 1, 2, channels=(4, 6, 8), strides=(2, 2), **arguments)
    with torch.no_grad():  # as after training: statistics of real features, attention that varies
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
            if isinstance(module, AdditiveGate):
                nn.init.normal_(module.psi.weight, std=3.0)
                nn.init.zeros_(module.psi.bias)
        net.heads[0].bias.copy_(torch.tensor([2.0, -2.0]))  # mostly background
        net.train()(windows(spatial_dims, 2))
    return (net if container is None else WithMaps(net, container)).eval()


def windows(spatial_dims=2, batch=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, *WINDOWS[spatial_dims], generator=generator)


def expected(net, x):
    with torch.no_grad():
        outputs = net(x)
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


def need(name, precision="float32"):
    for package in PACKAGES.get(name, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if precision == "bfloat16" and not has_bfloat16(CPU):
        pytest.skip("no bfloat16 units")


@pytest.fixture
def load(tmp_path):
    """`load_backend` with a cache of its own."""

    def load(net, window=WINDOWS[2], **arguments):
        need(arguments.get("name", "auto"), arguments.get("precision", "float32"))
        return load_backend(net, window, cache=tmp_path / "cache", **arguments)

    return load


def spied(step, seen):
    def spy(*args, **kwargs):
        seen.append(f"{step.__module__}.{step.__name__}".rpartition("backends.")[2])
        return step(*args, **kwargs)

    return spy


@pytest.fixture
def calls(monkeypatch):
    """The names of the steps that were taken: `export` and `load`, of each library."""
    seen = []
    for module in (openvino, onnxruntime):
        for step in ("export", "load"):
            monkeypatch.setattr(module, step, spied(getattr(module, step), seen))
    return seen


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
def test_agrees_with_eager_on_batches_of_any_size(load, name, precision, spatial_dims, container):
    net = build(spatial_dims, CONTAINERS[container])
    backend = load(net, WINDOWS[spatial_dims], name=name, precision=precision)
    assert (backend.name, backend.precision) == (name, precision)
    agrees(backend, net, spatial_dims, container)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("grid", ["gating", "skip"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_hard_gate_chooses_the_same(load, name, grid, spatial_dims):
    net = build(spatial_dims, tuple, gate=("hard", {"grid": grid}))
    (gate,) = hard_gates(net)

    def centre(gate, inputs):
        gate.psi.bias.sub_(gate.logits(*inputs).mean())

    with torch.no_grad(), gate.register_forward_pre_hook(centre):  # some places on either side
        net(windows(spatial_dims))
    backend = load(net, WINDOWS[spatial_dims], name=name, precision="float32")
    agrees(backend, net, spatial_dims, "tuple")
    assert backend(windows(spatial_dims))[1].unique().tolist() == [0.0, 1.0]


@pytest.mark.slow
def test_torch_compile_agrees_too(load):
    need("compile")
    net = build(2, tuple)
    agrees(load(net, name="compile", precision="float32"), net, 2, "tuple")


def agrees(backend, net, spatial_dims, container):
    for batch in (1, 3):
        x = windows(spatial_dims, batch)
        outputs = backend(x)
        assert isinstance(outputs, torch.Tensor if container == "tensor" else tuple)
        levels = outputs if isinstance(outputs, tuple) else (outputs,)
        bound = BOUNDS[backend.precision][0]
        assert compare(levels, expected(net, x)).error < bound
        assert all(level.dtype == torch.float32 and not level.requires_grad for level in levels)


@pytest.mark.parametrize(("name", "precision"), COMPUTES)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_result_is_not_changed_by_the_next_call(load, name, precision, batch):
    backend = load(build(container=tuple), name=name, precision=precision)
    first = backend(windows(batch=batch, seed=1))
    kept = [level.clone() for level in first]
    second = backend(windows(batch=batch, seed=2))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("roi", [(64, 96), (70, 97), (9, 11)], ids=str)
def test_a_graph_of_a_small_window_holds_for_the_whole_one(load, roi):
    net, x = build(), torch.rand(1, 1, *roi)
    backend = load(net, (1, *roi), name="openvino", precision="float32")
    torch.testing.assert_close(backend(x), expected(net, x)[0], atol=1e-4, rtol=1e-4)


def test_a_strided_window_and_one_of_monai_are_taken(load):
    from monai.data import MetaTensor

    net = build()
    backend = load(net, name="openvino", precision="float32")
    x = windows(batch=2)
    torch.testing.assert_close(backend(x.mT.contiguous().mT), backend(x))
    torch.testing.assert_close(backend(MetaTensor(x)), backend(x))
    assert type(backend(MetaTensor(x))) is torch.Tensor


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_windows_of_another_size_are_refused(load, name):
    backend = load(build(), name=name, precision="float32")
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 8\)\) must be \(B, 1, 20, 32\), for which"):
        backend(torch.rand(1, 1, 8, 8))


def test_bfloat16_is_what_it_says(load):
    """OpenVINO would take the CPU's favourite precision for a compiled model, whatever it was made for."""
    need("openvino", "bfloat16")
    net = build()
    x = windows()
    for _ in ("compiled", "from the cache"):
        errors = {
            precision: compare(
                (load(net, name="openvino", precision=precision)(x),), expected(net, x)
            ).error
            for precision in ("float32", "bfloat16")
        }
        assert errors["float32"] < 1e-5 < 1e-4 < errors["bfloat16"]


# --- what is compiled once is kept


def test_the_second_time_neither_compiles_nor_asks_the_network(load, calls):
    net = build()
    first = load(net, name="openvino", precision="float32")
    assert calls == ["openvino.export", "openvino.load"]
    calls.clear()
    sizes = []
    hook = net.register_forward_hook(lambda _module, args, _out: sizes.append(args[0].shape))
    second = load(net, name="openvino", precision="float32")
    hook.remove()
    assert calls == ["openvino.load"]
    assert sizes == []
    assert torch.equal(first(windows()), second(windows()))


def fewer_threads(net):
    torch.set_num_threads(torch.get_num_threads() + 1)


def another_weight(net):
    with torch.no_grad():
        net.heads[0].bias += 1


def another_statistic(net):
    next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)).running_mean += 1


def another_epsilon(net):
    next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)).eps = 0.1


@pytest.mark.parametrize(
    "change", [another_weight, another_statistic, another_epsilon, fewer_threads]
)
def test_what_changes_the_result_or_the_machine_compiles_anew(load, calls, change):
    threads = torch.get_num_threads()
    net = build()
    load(net, name="openvino", precision="float32")
    calls.clear()
    change(net)
    try:
        backend = load(net, name="openvino", precision="float32")
    finally:
        torch.set_num_threads(threads)
    assert calls == ["openvino.export", "openvino.load"]
    torch.testing.assert_close(
        backend(windows()), expected(net, windows())[0], atol=1e-4, rtol=1e-4
    )


def test_a_fingerprint_is_of_what_is_computed():
    net, same = build(), build()
    found = digest_network(net)
    eager.eager(same, "float32", CPU)  # another order in memory
    assert digest_network(same) == found
    slope = build(act=("leakyrelu", {"negative_slope": 0.1}))  # the same weights
    slope.load_state_dict(net.state_dict())
    assert digest_network(slope) != found
    net.decoder[0].gate.on_gating_grid = False  # neither a weight nor in its repr
    assert digest_network(net) != found


DAMAGE = {
    "cut short": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "one byte": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "a byte of the header": lambda data: data.replace(b'"single": true', b'"single": null'),
    "not ours": lambda data: bytes(range(256)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_made_again(load, calls, tmp_path, damage):
    net = build()
    load(net, name="openvino", precision="float32")
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    calls.clear()
    backend = load(net, name="openvino", precision="float32")
    assert calls == ["openvino.export", "openvino.load"]
    assert compare((backend(windows()),), expected(net, windows())).agrees("float32")
    assert Cache(tmp_path / "cache").read(path.name) is not None


def test_a_whole_file_that_the_library_cannot_read_is_made_again(load, calls, tmp_path):
    net = build()
    load(net, name="openvino", precision="float32")
    (path,) = (tmp_path / "cache").iterdir()
    Cache(tmp_path / "cache").write(path.name, Entry(b"nonsense", True, Parity(0.0, 0.0)))
    calls.clear()
    load(net, name="openvino", precision="float32")
    assert calls == ["openvino.load", "openvino.export", "openvino.load"]


def test_the_folder_is_the_users_alone_and_one_file_is_made(load, tmp_path):
    load(build(), name="openvino", precision="float32")
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    (path,) = (tmp_path / "cache").iterdir()
    assert re.fullmatch(r"openvino-float32-[0-9a-f]{32}", path.name)


def test_the_folder_is_by_default_in_the_users_cache(monkeypatch, tmp_path):
    module = importlib.import_module("monai_attn.inference.backends.cache")
    monkeypatch.setattr(module, "user_cache_path", lambda name, **_: tmp_path / name)
    assert Cache().folder == tmp_path / "monai-attn"


def writable_by_all(folder, monkeypatch):
    folder.mkdir()
    folder.chmod(0o777)


def of_another_user(folder, monkeypatch):
    folder.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)


def a_file(folder, monkeypatch):
    folder.write_text("")


def full(folder, monkeypatch):
    def no_space(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)


@pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (writable_by_all, "others can write to it; chmod 700 it"),
        (of_another_user, "it belongs to another user"),
        (a_file, "File exists"),
        (full, "No space left on device"),
    ],
)
def test_without_a_good_folder_it_works_and_says_so(load, monkeypatch, tmp_path, spoil, why):
    spoil(tmp_path / "cache", monkeypatch)
    net = build()
    with pytest.warns(RuntimeWarning, match=f"cache: no cache, .*{why}"):
        backend = load(net, name="openvino", precision="float32")
    assert compare((backend(windows()),), expected(net, windows())).agrees("float32")
    assert list(tmp_path.rglob("*-float32-*")) == []


# --- which backend is taken


ALL = ("eager", "compile", "openvino", "onnxruntime", "tensorrt")
PLANS = [  # name, precision, device, installed, bfloat16 units, what is tried
    ("auto", "auto", "cpu", ALL, True, "openvino/bfloat16 openvino/float32 eager/bfloat16 "
     "onnxruntime/float32 eager/float32"),
    ("auto", "auto", "cpu", ALL, False, "openvino/float32 onnxruntime/float32 eager/float32"),
    ("auto", "float32", "cpu", ALL, True, "openvino/float32 onnxruntime/float32 eager/float32"),
    ("auto", "bfloat16", "cpu", ALL, True, "openvino/bfloat16 eager/bfloat16"),
    ("auto", "auto", "cpu", ("eager",), True, "eager/bfloat16 eager/float32"),
    ("auto", "auto", "cuda", ALL, True, "tensorrt/bfloat16 tensorrt/float32 eager/bfloat16 eager/float32"),
    ("auto", "auto", "cuda", ("eager", "openvino"), True, "eager/bfloat16 eager/float32"),
    ("auto", "auto", "mps", ALL, False, "eager/float32"),
    ("openvino", "auto", "cpu", ALL, True, "openvino/bfloat16 openvino/float32"),
    ("openvino", "auto", "cpu", ALL, False, "openvino/float32"),
    ("onnxruntime", "auto", "cpu", ALL, True, "onnxruntime/float32"),
    ("onnxruntime", "auto", "cuda", ALL, True, "onnxruntime/float32"),
    ("compile", "bfloat16", "cpu", ALL, True, "compile/bfloat16"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "precision", "device", "installed", "bfloat16", "tried"), PLANS)
def test_the_order_is_fixed(name, precision, device, installed, bfloat16, tried):
    found = plan(name, precision, device, installed=installed, bfloat16=bfloat16)
    assert " ".join(map("/".join, found)) == tried


REFUSED = [  # name, precision, device, installed, bfloat16 units, the error
    ("turbo", "auto", "cpu", ALL, True,
     f"backend (='turbo') must be one of {', '.join(BACKENDS)}"),
    ("auto", "int8", "cpu", ALL, True,
     "precision (='int8') must be one of auto, float32, bfloat16"),
    ("auto", "bfloat16", "cpu", ALL, False,
     "precision (='bfloat16') needs a cpu with bfloat16 units; use float32 or auto"),
    ("onnxruntime", "bfloat16", "cpu", ALL, True,
     "backend (='onnxruntime') computes in float32; use precision float32 or auto"),
    ("openvino", "auto", "cuda", ALL, True,
     "backend (='openvino') runs on cpu, not on cuda; use eager or auto"),
    ("tensorrt", "auto", "cpu", ALL, True,
     "backend (='tensorrt') runs on cuda, not on cpu; use eager or auto"),
    ("openvino", "auto", "cpu", ("eager",), True,
     "backend (='openvino') is not installed; pip install 'monai-attn[openvino]'"),
    ("onnxruntime", "auto", "cpu", ("eager",), True,
     "backend (='onnxruntime') is not installed; pip install 'monai-attn[onnx]'"),
    ("tensorrt", "auto", "cuda", ("eager",), True,
     "backend (='tensorrt') is not installed; pip install torch-tensorrt"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "precision", "device", "installed", "bfloat16", "error"), REFUSED)
def test_what_cannot_be_is_said_in_one_line(name, precision, device, installed, bfloat16, error):
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        plan(name, precision, device, installed=installed, bfloat16=bfloat16)


@pytest.mark.parametrize("missing", PACKAGES["onnxruntime"])
def test_a_package_that_is_not_there_is_found_out(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match="is not installed; pip install 'monai-attn"):
        load_backend(build(), WINDOWS[2], name="onnxruntime")


def test_a_network_in_train_mode_is_refused():
    with pytest.raises(ValueError, match=r"network \(training=True\) must be in eval mode"):
        load_backend(build().train(), WINDOWS[2])


def test_auto_takes_the_first_that_agrees(load, calls):
    need("openvino")
    backend = load(build(), precision="float32")
    assert (backend.name, backend.precision) == ("openvino", "float32")
    assert {call.split(".")[0] for call in calls} == {"openvino"}


def off(**_):
    """A library that is off by a tenth."""
    return lambda x: 1.1 * build()(x).detach()


def broken(**_):
    raise RuntimeError("no kernel\nfor this")


@pytest.mark.parametrize(
    ("fault", "why"),
    [(off, r"outputs by 0\.1 \(0\.001 allowed\)"), (broken, "no kernel for this")],
)
def test_a_backend_that_is_wrong_is_passed_over_by_auto_and_refused_by_name(
    load, monkeypatch, fault, why
):
    need("onnxruntime")
    net = build()
    monkeypatch.setattr(openvino, "load", lambda *_args, **_: fault())
    with pytest.warns(RuntimeWarning, match=f"openvino in float32: .*{why}.*; trying onnxruntime"):
        backend = load(net, precision="float32")
    assert backend.name == "onnxruntime"
    with pytest.raises(ValueError, match=f"^backend openvino in float32: .*{why}") as caught:
        load(net, name="openvino", precision="float32")
    assert "\n" not in str(caught.value)


def test_a_backend_that_was_wrong_is_not_tried_again(load, monkeypatch, calls):
    net = build()
    monkeypatch.setattr(openvino, "load", lambda *_args, **_: off())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"outputs by 0\.1"):
            load(net, name="openvino", precision="float32")
    assert calls == ["openvino.export"]


def test_without_agreement_in_bfloat16_there_is_float32_and_a_note(load, monkeypatch, caplog):
    need("openvino", "bfloat16")
    monkeypatch.setitem(BOUNDS, "bfloat16", (1e-9, 0.0))
    with caplog.at_level("INFO", "monai_attn"):
        assert load(build(), name="openvino").precision == "float32"
    (note,) = caplog.messages
    assert note.startswith("backend openvino in bfloat16: differs")
    assert note.endswith("trying openvino in float32")


# --- what agreement means


REFERENCE = torch.tensor([[[3.0, 3.0, -1.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]]).movedim(0, 1)
MAP = torch.ones(1, 1, 4)
COMPARED = [  # what is compared, the error, the share of other labels
    ("the same", (REFERENCE, MAP), 0.0, 0.0),
    ("a tenth more", (1.1 * REFERENCE, MAP), 0.1, 0.0),
    ("the worst output counts", (REFERENCE, 0.5 * MAP), 0.5, 0.0),
    ("another sign", (-REFERENCE, MAP), 2.0, 1.0),
    ("an output less", (REFERENCE,), inf, 1.0),
    ("another shape", (REFERENCE, MAP[..., :2]), inf, 1.0),
]


@pytest.mark.parametrize(
    ("outputs", "error", "labels"), [row[1:] for row in COMPARED], ids=[row[0] for row in COMPARED]
)
def test_parity(outputs, error, labels):
    found = compare(outputs, (REFERENCE, MAP))
    assert (found.error, found.labels) == (pytest.approx(error), labels)


def test_one_channel_is_labelled_by_its_sign():
    logits = torch.tensor([[[2.0, -2.0, 2.0, -2.0]]])
    assert compare((logits.abs(),), (logits,)).labels == 0.5


@pytest.mark.parametrize(
    ("parity", "float32", "bfloat16"),
    [
        (Parity(2e-7, 0.0), True, True),
        (Parity(6e-3, 2e-5), False, True),
        (Parity(0.1, 0.0), False, False),
        (Parity(0.0, 0.02), False, False),
        (Parity(nan, 0.0), False, False),
        (Parity(inf, 1.0), False, False),
    ],
)
def test_agreement_is_a_matter_of_precision(parity, float32, bfloat16):
    assert (parity.agrees("float32"), parity.agrees("bfloat16")) == (float32, bfloat16)


@pytest.mark.parametrize("window", [(1, 40), (2, 33, 20), (1, 24, 17, 40)], ids=str)
def test_the_window_is_always_the_same_and_like_an_image(window):
    torch.manual_seed(5)
    x = synthetic_window(window)
    torch.rand(3)
    assert torch.equal(x, synthetic_window(window))
    assert x.shape == (1, *window)
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.std() > 0.1, "patches"
    assert x.diff(dim=-1).abs().mean() < 0.1, "smooth"


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
    need(name)
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
    need("onnxruntime")
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
    need("openvino")
    done = subprocess.run([sys.executable, "-c", COME_AND_GONE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
