"""Weights from elsewhere are loaded as far as they fit, and what does not fit is said."""

import logging

import pytest
import torch

from monai_attn.networks import AttentionUNet
from monai_attn.training.checkpoints import LAST
from monai_attn.training.pretrained import (
    check_fit,
    fit_weights,
    load_pretrained,
    open_initial_weights,
    read_tensors,
)


def network(dims=2, classes=2, channels=(4, 8), seed=0, **options):
    torch.manual_seed(seed)
    return AttentionUNet(
        dims, 1, classes, channels=channels, strides=(2,) * (len(channels) - 1), **options
    )


def saved(network, path):
    torch.save(network.state_dict(), path)
    return path


def equal(a, b):
    """The names of the tensors that are equal in both."""
    return {name for name, tensor in a.state_dict().items() if torch.equal(tensor, b[name])}


def test_weights_of_the_same_network_are_loaded_whole(tmp_path):
    source = network(seed=1)
    loaded = load_pretrained(network(), saved(source, tmp_path / "w.pt"))
    assert equal(loaded, source.state_dict()) == set(source.state_dict())


def test_with_other_classes_the_heads_are_new_and_all_else_is_loaded(tmp_path):
    source, own = network(seed=1), network(classes=3)
    start = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    loaded = load_pretrained(own, saved(source, tmp_path / "w.pt"))
    heads = {"heads.0.weight", "heads.0.bias"}
    assert set(fit_weights(network(classes=3), source.state_dict()).reshaped) == heads
    assert heads <= equal(loaded, start)
    rest = {k: v for k, v in loaded.state_dict().items() if k not in heads}
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in rest.items())


def test_the_line_names_what_is_new_and_why():
    source = network(seed=1).state_dict()
    fit = fit_weights(network(classes=3), source)
    assert fit.describe("runs/a") == (
        f"{len(source) - 2} of {len(source)} tensors from runs/a; new: "
        "heads.0.weight (shape (3, 4, 1, 1), file has (2, 4, 1, 1)), "
        "heads.0.bias (shape (3,), file has (2,))"
    )


def test_gates_that_only_one_side_has_are_named():
    gated, plain = network(), network(gate=None)
    gates = [name for name in gated.state_dict() if ".gate." in name]
    fit = fit_weights(gated, plain.state_dict())
    assert fit.describe("w.pt").endswith("; new, not in the file: " + ", ".join(gates))
    fit = fit_weights(plain, gated.state_dict())
    assert fit.loaded == fit.total == len(plain.state_dict())
    assert fit.describe("w.pt").endswith("; not used, not in the network: " + ", ".join(gates))


def test_the_line_names_the_first_tensors_and_counts_the_rest():
    own = torch.nn.ModuleList(torch.nn.Linear(1, 1, bias=False) for _ in range(9))
    said = fit_weights(own, {}).describe("w.pt")
    assert said.startswith("0 of 9 tensors from w.pt; new, not in the file: 0.weight, 1.weight, ")
    assert said.endswith(", 5.weight and 3 more")


def test_hard_gates_start_from_soft_ones():
    hard = network(gate=("hard", {"estimator": "straight_through"}))
    assert fit_weights(hard, network().state_dict()).loaded == len(hard.state_dict())


@pytest.mark.parametrize(
    "other", [{"dims": 3}, {"channels": (8, 16)}], ids=["dimensions", "channels"]
)
def test_weights_of_another_network_are_refused_in_a_line_with_both_names(tmp_path, other):
    """By numbers, not by tensors: most tensors of a 2D network are biases and norms that fit in 3D."""
    path = saved(network(), tmp_path / "w.pt")
    own = network(**other)
    start = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    with pytest.raises(ValueError, match=r"w\.pt: .* than this AttentionUNet: \d+ % .*") as raised:
        load_pretrained(own, path)
    assert "\n" not in str(raised.value)
    assert equal(own, start) == set(start), "nothing was loaded"


@pytest.mark.parametrize(("kept", "fits"), [(2, True), (1, False)])
def test_half_of_the_parameters_must_fit(kept, fits):
    own = torch.nn.ModuleList(torch.nn.Linear(1, 1, bias=False) for _ in range(4))
    fit = fit_weights(own, dict([*own.state_dict().items()][:kept]))
    assert fit.share == kept / 4
    if fits:
        check_fit(fit, "source", "target")
    else:
        with pytest.raises(ValueError, match=r"source: .*than target: 25 % .*expected 50 %"):
            check_fit(fit, "source", "target")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no weights; train the bundle first"),
        (b"no weights", "cannot be read as weights"),
        ([torch.zeros(1)], r"no weights \(got list, expected named tensors\)"),
        ({"epoch": 3, "network": {}}, r"no weights \(got the entries epoch, network, expected"),
        ({"a": torch.tensor([1.0, float("nan")])}, "a holds numbers that are not finite"),
    ],
    ids=["missing", "damaged", "a list", "a checkpoint", "not finite"],
)
def test_a_file_that_holds_no_weights_is_named(tmp_path, content, said):
    path = tmp_path / "w.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    for read in (read_tensors, open_initial_weights, lambda path: load_pretrained(network(), path)):
        with pytest.raises(ValueError, match=said) as raised:
            read(str(path) if read is open_initial_weights else path)
        assert str(raised.value).startswith(f"{path}: ")
        assert "\n" not in str(raised.value)


def test_a_start_is_named_by_bundle_run_or_file(tiny_bundle, tmp_path):
    start = open_initial_weights(str(tiny_bundle))
    assert start.name == f"{tiny_bundle} (models/model.pt)"
    path = saved(network(), tmp_path / "w.pt")
    assert open_initial_weights(str(path)).name == str(path)
    with pytest.raises(ValueError, match="nothing: no bundle there"):
        open_initial_weights(str(tmp_path / "nothing"))


def test_a_training_that_goes_on_does_not_read_the_file(tmp_path):
    own = network()
    start = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    gone = tmp_path / "gone.pt"
    with pytest.raises(ValueError, match=r"gone\.pt: no weights"):  # no checkpoint yet
        load_pretrained(own, gone, folder=tmp_path, resume=True)
    (tmp_path / LAST).touch()
    assert equal(load_pretrained(own, gone, folder=tmp_path, resume=True), start) == set(start)
    with pytest.raises(ValueError, match=r"gone\.pt: no weights"):
        load_pretrained(own, gone, folder=tmp_path)


def test_monais_log_says_where_weights_come_from(tmp_path, caplog):
    path = saved(network(), tmp_path / "w.pt")
    with caplog.at_level(logging.INFO, logger="monai_attn"):
        load_pretrained(network())
        load_pretrained(network(), path)
    scratch, loaded = caplog.messages
    assert scratch.startswith("weights: from scratch (random)")
    total = len(network().state_dict())
    assert loaded == f"weights: {total} of {total} tensors from {path}"
