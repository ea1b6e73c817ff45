"""Backends whose cache and steps a test can look at."""

import pytest

from monai_attn.inference.backends import load_backend, onnxruntime, openvino
from tests.inference.backends.networks import WINDOWS, skip_without


@pytest.fixture
def load_with_own_cache(tmp_path):
    """`load_backend` with a cache of its own."""

    def load(net, window=WINDOWS[2], **arguments):
        skip_without(arguments.get("name", "auto"), arguments.get("precision", "float32"))
        return load_backend(net, window, cache=tmp_path / "cache", **arguments)

    return load


def spied(step, seen):
    """Put the name of a step into a list each time it is taken."""

    def spy(*args, **kwargs):
        seen.append(f"{step.__module__}.{step.__name__}".rpartition("backends.")[2])
        return step(*args, **kwargs)

    return spy


@pytest.fixture
def library_calls(monkeypatch):
    """The names of the steps that were taken: `export` and `load`, of each library."""
    seen = []
    for module in (openvino, onnxruntime):
        for step in ("export", "load"):
            monkeypatch.setattr(module, step, spied(getattr(module, step), seen))
    return seen
