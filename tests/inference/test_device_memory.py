"""The limit of a GPU's memory, on a GPU that is only made up."""

from types import SimpleNamespace

import pytest
import torch

from monai_attn.inference.device_memory import limited_device_memory, used_device_memory

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
GIB = 2**30


@pytest.fixture
def fractions(monkeypatch):
    """The shares of a GPU of 16 GiB that torch was told to use; 0.5 from before."""
    found = [0.5]
    properties = SimpleNamespace(total_memory=16 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda.memory, "get_per_process_memory_fraction", lambda _: found[-1])
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, _: found.append(share)
    )
    return found


def test_a_budget_limits_torch_while_the_block_runs(fractions):
    with limited_device_memory(GPU, 4 * GIB):
        assert fractions == [0.5, 0.25]
    assert fractions == [0.5, 0.25, 0.5]


def test_the_limit_ends_with_an_error(fractions):
    with pytest.raises(RuntimeError), limited_device_memory(GPU, 4 * GIB):
        raise RuntimeError
    assert fractions[-1] == 0.5


def test_a_lower_limit_from_before_stays(fractions):
    with limited_device_memory(GPU, 12 * GIB):
        assert fractions[-1] == 0.5


@pytest.mark.parametrize(("device", "limit"), [(CPU, GIB), (GPU, None)])
def test_no_limit(device, limit, fractions):
    with limited_device_memory(device, limit):
        assert fractions == [0.5]


def test_a_cpu_has_no_memory_of_a_gpu():
    assert used_device_memory(CPU) == 0
