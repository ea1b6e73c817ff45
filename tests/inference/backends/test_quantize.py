"""A network in int8: what is quantised, what of it runs, and what is refused."""

import logging
from importlib.util import find_spec

import pytest
import torch

from monai_attn.inference.backends import load_backend, openvino
from monai_attn.inference.backends.parity import BOUNDS, compare
from monai_attn.inference.backends.quantize import quantize
from tests.inference.backends.networks import (
    WINDOWS,
    build_network,
    eager_outputs,
    random_windows,
    skip_without,
)

INT8 = {"name": "openvino", "precision": "int8"}


@pytest.fixture
def quantized(tmp_path):
    """Quantise a network on random windows, and return the file."""
    skip_without("openvino")
    if find_spec("nncf") is None:
        pytest.skip("nncf is not installed")

    def make(net, spatial_dims=2):
        file = tmp_path / "int8.xml"
        windows = [random_windows(spatial_dims, seed=seed) for seed in range(2, 8)]
        quantize(net, windows, file)
        return file

    return make


@pytest.fixture
def converted(tmp_path):
    """Write a network as `quantize` does, but in float32, which needs no NNCF."""
    skip_without("openvino")

    def make(net, name="int8.xml"):
        file = tmp_path / name
        model = openvino.convert(net, WINDOWS[2])
        openvino.library().save_model(model, file, compress_to_fp16=False)
        return file

    return make


@pytest.mark.slow
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_int8_is_about_what_torch_computes(load_with_own_cache, quantized, spatial_dims):
    net = build_network(spatial_dims)
    file = quantized(net, spatial_dims)
    backend = load_with_own_cache(net, WINDOWS[spatial_dims], int8=file, **INT8)
    x = random_windows(spatial_dims, batch=3)
    error = compare((backend(x),), eager_outputs(net, x)).error
    assert 1e-4 < error < BOUNDS["int8"][0]
    assert (backend.name, backend.precision) == ("openvino", "int8")


@pytest.mark.slow
def test_quantising_leaves_the_handlers_of_others_as_they_are(quantized, monkeypatch):
    """A program may send NNCF's log where its own goes."""
    handler = logging.NullHandler()
    monkeypatch.setattr(logging.getLogger("nncf"), "handlers", [handler])
    quantized(build_network(2))
    assert handler.level == logging.NOTSET


@pytest.mark.slow
def test_every_convolution_is_quantised(quantized):
    net = build_network()
    library = openvino.library()
    model = openvino.core().read_model(quantized(net))
    types = [op.get_type_name() for op in model.get_ops()]
    convolutions = types.count("Convolution")
    assert convolutions == sum(isinstance(one, torch.nn.Conv2d) for one in net.modules())
    weights = [op for op in model.get_ops() if op.get_element_type() == library.Type.i8]
    assert len([op for op in weights if op.get_type_name() == "Constant"]) == convolutions


def test_maps_that_are_not_needed_are_left_out(load_with_own_cache, converted):
    net = build_network()
    with_maps = build_network(container=tuple)
    file = converted(with_maps)
    x = random_windows()
    logits = load_with_own_cache(net, int8=file, **INT8)(x)
    torch.testing.assert_close(logits, eager_outputs(net, x)[0], atol=1e-4, rtol=1e-4)
    both = load_with_own_cache(with_maps, int8=file, **INT8)(x)
    assert [tuple(one.shape) for one in both] == [tuple(one.shape) for one in with_maps(x)]


def test_a_new_file_is_not_taken_for_the_old_one(load_with_own_cache, converted, library_calls):
    net = build_network()
    load_with_own_cache(net, int8=converted(net), **INT8)
    load_with_own_cache(net, int8=converted(net), **INT8)
    assert library_calls.count("openvino.load") == 2
    other = build_network()
    with torch.no_grad():
        other.heads[0].bias.add_(1e-3)
    changed = load_with_own_cache(net, int8=converted(other), **INT8)
    x = random_windows()
    torch.testing.assert_close(changed(x), eager_outputs(other, x)[0], atol=1e-5, rtol=1e-5)


def test_the_file_of_another_network_is_refused(load_with_own_cache, converted):
    net = build_network()
    other = build_network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    with pytest.raises(ValueError, match=r"backend openvino in int8: differs from eager float32"):
        load_with_own_cache(net, int8=converted(other), **INT8)


def test_without_a_file_int8_is_refused():
    with pytest.raises(ValueError, match=r"^precision \(='int8'\) needs a quantised network"):
        load_backend(build_network(), WINDOWS[2], **INT8)
