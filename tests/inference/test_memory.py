import pytest

from monai_attn.inference import memory as module
from monai_attn.inference.memory import format_memory, free_memory, parse_memory, used_memory

AMOUNTS = [
    ("4GiB", 4 * 2**30),
    ("1.5 GiB", 3 * 2**29),
    ("500mib", 500 * 2**20),
    ("2GB", 2 * 10**9),
    ("10 KiB", 10240),
]


@pytest.mark.parametrize(("text", "count"), AMOUNTS)
def test_amounts_of_memory(text, count):
    assert parse_memory(text) == count


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1GiB", "0GiB", "4", "2000000000", "4 G", "4GiB more", "nan", "1e9"]
)
def test_what_is_no_amount(text):
    with pytest.raises(
        ValueError, match=r"must be an amount above 0 with its unit, such as 4GiB or 500MiB"
    ):
        parse_memory(text)


@pytest.mark.parametrize(
    ("count", "text"), [(2**31, "2.0 GiB"), (310 * 2**20, "310 MiB"), (10240, "10 KiB")]
)
def test_amounts_for_people(count, text):
    assert format_memory(count) == text


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    machine = free_memory()
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 600\n")
    monkeypatch.setattr(module, "CGROUP", tmp_path)
    assert free_memory() == 2600, "cached files are given back on demand"
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() == pytest.approx(machine, rel=0.2)


def test_this_process_holds_memory():
    assert 10 * 2**20 < used_memory() < 2**40
