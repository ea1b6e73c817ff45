"""Converted networks on disk: found again, made anew where they do not fit, kept from others."""

import importlib
import os
import re
import stat

import pytest
import torch
from torch import nn

from monai_attn.inference.backends import eager
from monai_attn.inference.backends.cache import Cache, Entry
from monai_attn.inference.backends.network_digest import digest_network
from monai_attn.inference.backends.parity import Parity, compare
from tests.inference.backends.networks import CPU, build_network, eager_outputs, random_windows


def test_the_second_time_neither_compiles_nor_asks_the_network(load_with_own_cache, library_calls):
    net = build_network()
    first = load_with_own_cache(net, name="openvino", precision="float32")
    assert library_calls == ["openvino.export", "openvino.load"]
    library_calls.clear()
    sizes = []
    hook = net.register_forward_hook(lambda _module, args, _out: sizes.append(args[0].shape))
    second = load_with_own_cache(net, name="openvino", precision="float32")
    hook.remove()
    assert library_calls == ["openvino.load"]
    assert sizes == []
    assert torch.equal(first(random_windows()), second(random_windows()))


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
def test_what_changes_the_result_or_the_machine_compiles_anew(
    load_with_own_cache, library_calls, change
):
    threads = torch.get_num_threads()
    net = build_network()
    load_with_own_cache(net, name="openvino", precision="float32")
    library_calls.clear()
    change(net)
    try:
        backend = load_with_own_cache(net, name="openvino", precision="float32")
    finally:
        torch.set_num_threads(threads)
    assert library_calls == ["openvino.export", "openvino.load"]
    torch.testing.assert_close(
        backend(random_windows()), eager_outputs(net, random_windows())[0], atol=1e-4, rtol=1e-4
    )


def test_a_fingerprint_is_of_what_is_computed():
    net, same = build_network(), build_network()
    found = digest_network(net)
    eager.eager(same, "float32", CPU)  # another order in memory
    assert digest_network(same) == found
    slope = build_network(act=("leakyrelu", {"negative_slope": 0.1}))  # the same weights
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
def test_a_damaged_file_is_made_again(load_with_own_cache, library_calls, tmp_path, damage):
    net = build_network()
    load_with_own_cache(net, name="openvino", precision="float32")
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    library_calls.clear()
    backend = load_with_own_cache(net, name="openvino", precision="float32")
    assert library_calls == ["openvino.export", "openvino.load"]
    assert compare((backend(random_windows()),), eager_outputs(net, random_windows())).agrees(
        "float32"
    )
    assert Cache(tmp_path / "cache").read(path.name) is not None


def test_a_whole_file_that_the_library_cannot_read_is_made_again(
    load_with_own_cache, library_calls, tmp_path
):
    net = build_network()
    load_with_own_cache(net, name="openvino", precision="float32")
    (path,) = (tmp_path / "cache").iterdir()
    Cache(tmp_path / "cache").write(path.name, Entry(b"nonsense", True, Parity(0.0, 0.0)))
    library_calls.clear()
    load_with_own_cache(net, name="openvino", precision="float32")
    assert library_calls == ["openvino.load", "openvino.export", "openvino.load"]


def test_the_folder_is_the_users_alone_and_one_file_is_made(load_with_own_cache, tmp_path):
    load_with_own_cache(build_network(), name="openvino", precision="float32")
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
def test_without_a_good_folder_it_works_and_says_so(
    load_with_own_cache, monkeypatch, tmp_path, spoil, why
):
    spoil(tmp_path / "cache", monkeypatch)
    net = build_network()
    with pytest.warns(RuntimeWarning, match=f"cache: no cache, .*{why}"):
        backend = load_with_own_cache(net, name="openvino", precision="float32")
    assert compare((backend(random_windows()),), eager_outputs(net, random_windows())).agrees(
        "float32"
    )
    assert list(tmp_path.rglob("*-float32-*")) == []
