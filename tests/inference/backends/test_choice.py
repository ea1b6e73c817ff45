"""The choice of a backend and of its precision."""

import re
import sys

import pytest

from monai_attn.inference.backends import BACKENDS, load_backend, openvino
from monai_attn.inference.backends.backend import PACKAGES, plan
from monai_attn.inference.backends.parity import BOUNDS
from tests.inference.backends.networks import WINDOWS, build_network, skip_without

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
    ("auto", "int8", "cpu", ALL, False, "openvino/int8"),
    ("openvino", "int8", "cpu", ALL, True, "openvino/int8"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "precision", "device", "installed", "bfloat16", "tried"), PLANS)
def test_the_order_is_fixed(name, precision, device, installed, bfloat16, tried):
    found = plan(name, precision, device, installed=installed, bfloat16=bfloat16)
    assert " ".join(map("/".join, found)) == tried


REFUSED = [  # name, precision, device, installed, bfloat16 units, the error
    ("turbo", "auto", "cpu", ALL, True,
     f"backend (='turbo') must be one of {', '.join(BACKENDS)}"),
    ("auto", "int4", "cpu", ALL, True,
     "precision (='int4') must be one of auto, float32, bfloat16, int8"),
    ("eager", "int8", "cpu", ALL, True,
     "precision (='int8') needs backend openvino on a cpu (got eager on cpu)"),
    ("auto", "int8", "cuda", ALL, True,
     "precision (='int8') needs backend openvino on a cpu (got auto on cuda)"),
    ("auto", "int8", "cpu", ("eager",), True,
     "backend (='openvino') is not installed; pip install 'monai-attn[openvino]'"),
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
        load_backend(build_network(), WINDOWS[2], name="onnxruntime")


def test_a_network_in_train_mode_is_refused():
    with pytest.raises(ValueError, match=r"network \(training=True\) must be in eval mode"):
        load_backend(build_network().train(), WINDOWS[2])


def test_auto_takes_the_first_that_agrees(load_with_own_cache, library_calls):
    skip_without("openvino")
    backend = load_with_own_cache(build_network(), precision="float32")
    assert (backend.name, backend.precision) == ("openvino", "float32")
    assert {call.split(".")[0] for call in library_calls} == {"openvino"}


def off(**_):
    """A library that is off by a tenth."""
    return lambda x: 1.1 * build_network()(x).detach()


def broken(**_):
    raise RuntimeError("no kernel\nfor this")


@pytest.mark.parametrize(
    ("fault", "why"),
    [(off, r"outputs by 0\.1 \(0\.001 allowed\)"), (broken, "no kernel for this")],
)
def test_a_backend_that_is_wrong_is_passed_over_by_auto_and_refused_by_name(
    load_with_own_cache, monkeypatch, fault, why
):
    skip_without("onnxruntime")
    net = build_network()
    monkeypatch.setattr(openvino, "load", lambda *_args, **_: fault())
    with pytest.warns(RuntimeWarning, match=f"openvino in float32: .*{why}.*; trying onnxruntime"):
        backend = load_with_own_cache(net, precision="float32")
    assert backend.name == "onnxruntime"
    with pytest.raises(ValueError, match=f"^backend openvino in float32: .*{why}") as caught:
        load_with_own_cache(net, name="openvino", precision="float32")
    assert "\n" not in str(caught.value)


def test_a_backend_that_was_wrong_is_not_tried_again(
    load_with_own_cache, monkeypatch, library_calls
):
    net = build_network()
    monkeypatch.setattr(openvino, "load", lambda *_args, **_: off())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"outputs by 0\.1"):
            load_with_own_cache(net, name="openvino", precision="float32")
    assert library_calls == ["openvino.export"]


def test_without_agreement_in_bfloat16_there_is_float32_and_a_note(
    load_with_own_cache, monkeypatch, caplog
):
    skip_without("openvino", "bfloat16")
    monkeypatch.setitem(BOUNDS, "bfloat16", (1e-9, 0.0))
    with caplog.at_level("INFO", "monai_attn"):
        assert load_with_own_cache(build_network(), name="openvino").precision == "float32"
    (note,) = caplog.messages
    assert note.startswith("backend openvino in bfloat16: differs")
    assert note.endswith("trying openvino in float32")
