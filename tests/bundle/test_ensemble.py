"""Several bundles segment as one, if they agree in what their labels depend on."""

import json
import shutil

import numpy as np
import pytest
import torch

import monai_attn
from bundle_runs import SLICE_BUNDLE, edit_config
from command_line import run
from conftest import balance
from monai_attn.bundle.ensemble import open_bundles

CPU = ("--device", "cpu", "--backend", "eager")


@pytest.fixture(scope="module")
def bundles(tiny_bundle, tmp_path_factory):
    """Three bundles of one kind with weights of their own."""
    folder = tmp_path_factory.mktemp("folds")
    return [copy(tiny_bundle, folder / f"fold_{seed}", seed) for seed in range(3)]


def copy(bundle, root, seed):
    shutil.copytree(bundle, root)
    path = root / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    generator = torch.Generator().manual_seed(seed)
    for value in state.values():
        if value.is_floating_point():
            value += 0.2 * torch.randn(value.shape, generator=generator)
    torch.save(state, path)
    balance(root)
    return root


def edit(root, config, **values):
    edit_config(root, config, {name.replace("__", "#"): value for name, value in values.items()})


@pytest.fixture
def changed(bundles, tmp_path):
    """Return a copy of the second bundle with other values in a config."""

    def change(config, of=1, **values):
        root = tmp_path / ("changed" if of == 1 else f"changed_{of}")
        shutil.copytree(bundles[of], root)
        edit(root, config, **values)
        return root

    return change


@pytest.fixture
def scan(phantoms):
    return sorted((phantoms / "imagesTr").iterdir())[1]


def test_the_network_has_the_mean_probabilities(bundles):
    opened = open_bundles(bundles, "cpu")
    window = torch.rand(1, 1, 32, 32, 16)
    with torch.inference_mode():
        each = [one.network(window).softmax(1) for one in opened.members]
        found = opened.network(window).softmax(1)
    torch.testing.assert_close(found, torch.stack(each).mean(0))
    assert not torch.allclose(each[0], each[1], atol=0.01)


def test_each_member_has_its_temperature(bundles, changed):
    other = changed("inference", temperature=2.5)
    opened = open_bundles([bundles[0], other], "cpu")
    assert opened.network.temperatures == (1.0, 2.5)
    assert opened.confidence.temperature == 1


def test_one_bundle_is_no_ensemble(bundles):
    opened = open_bundles(bundles[:1], "cpu")
    assert opened.members == ()
    assert "members" not in opened.segmenter().settings


def test_labels_and_maps_are_those_of_the_mean(bundles, scan):
    model = monai_attn.load(bundles[:2], "cpu", backend="eager")
    result = model.segment(scan, attention=True, uncertainty=True)
    singles = [
        monai_attn.load(one, "cpu", backend="eager").segment(scan, attention=True)
        for one in bundles[:2]
    ]
    assert result.labels.any()
    assert all((result.labels != one.labels).any() for one in singles)
    seen = ~np.isnan(result.attention[0])
    mean = np.mean([one.attention[0] for one in singles], axis=0)
    np.testing.assert_allclose(result.attention[0][seen], mean[seen], atol=1.01 / 254)
    assert result.entropy is not None
    assert repr(model).startswith("Model('fold_0 + fold_1', labels: pancreas")


def test_views_are_those_that_no_member_finds_harmful(bundles, changed):
    flips = {"flip_axes": [0, 2], "factors": {"1": 3.0}}
    both = [changed("inference", of=of, interval=flips) for of in (1, 2)]
    confidence = open_bundles(both, "cpu").confidence
    assert (confidence.flip_axes, confidence.factors) == ((0, 2), {})
    assert open_bundles([both[0], bundles[0]], "cpu").confidence.flip_axes == ()


def test_attention_needs_the_same_gates(bundles, changed):
    other = changed("inference", network_def__gate=None)
    path = other / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    torch.save({name: v for name, v in state.items() if ".gate." not in name}, path)
    opened = open_bundles([bundles[0], other], "cpu", backend="eager")
    opened.segmenter()
    with pytest.raises(ValueError, match=r"changed: gates at other levels than .*\(got \[\]"):
        opened.segmenter(attention=True)


def test_a_backend_runs_the_ensemble(bundles):
    pytest.importorskip("openvino")
    opened = open_bundles(bundles, "cpu", backend="openvino", precision="float32")
    segmenter = opened.segmenter(attention=True)
    assert segmenter.settings["backend"] == "openvino"
    window = torch.rand(1, 1, 32, 32, 16)
    with torch.inference_mode():
        expected = opened.network(window)
    torch.testing.assert_close(segmenter.network(window)[0], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        ("inference", {"spacing": [4.0, 8.0, 8.0]}, "another spacing .*got .4.0, 8.0, 8.0"),
        ("inference", {"intensity_range": [-9.0, 250.0]}, "another intensity_range .*got .-9.0"),
        ("inference", {"roi_size": [16, 32, 16]}, "another roi_size .*got .16, 32, 16"),
        (
            "metadata",
            {
                "network_data_format__outputs__pred__channel_def": {
                    "0": "background",
                    "1": "liver",
                }
            },
            "another classes .*got background, liver, expected background, pancreas",
        ),
    ],
    ids=["spacing", "range", "roi_size", "classes"],
)
def test_bundles_that_differ_are_refused(bundles, changed, config, values, message):
    with pytest.raises(ValueError, match=f"changed: {message}") as raised:
        open_bundles([bundles[0], changed(config, **values)], "cpu")
    assert str(bundles[0]) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_2d_and_3d_do_not_mix(bundles, tiny_slice_bundle):
    with pytest.raises(ValueError, match=f"{SLICE_BUNDLE}: another network .*got 2D, expected 3D"):
        open_bundles([bundles[0], tiny_slice_bundle], "cpu")


def test_a_bundle_counts_once(bundles, tmp_path):
    with pytest.raises(ValueError, match=r"fold_1: is named twice .*Leave one out"):
        open_bundles([*bundles, bundles[1]], "cpu")
    shutil.copytree(bundles[1], tmp_path / "copy")
    with pytest.raises(ValueError, match=r"copy: has the same weights as .*fold_1"):
        open_bundles([*bundles, tmp_path / "copy"], "cpu")
    with pytest.raises(ValueError, match="none is given"):
        open_bundles([])


def test_another_cleaning_is_said(bundles, changed):
    other = changed("inference", keep_largest=[])
    with pytest.warns(
        UserWarning, match=r"another keep_largest than .*\(\[\] and \[1\]\); that of"
    ):
        opened = open_bundles([bundles[0], other], "cpu")
    assert opened.postprocessing is opened.members[0].postprocessing


def test_expectations_hold_for_every_member(bundles, changed):
    mine = {
        "volume_ml": [10.0, 100.0],
        "extent_mm": [[1.0, 9.0]] * 3,
        "pieces": 1,
        "tissue_hu": [70, 150],
    }
    theirs = {
        "volume_ml": [5.0, 80.0],
        "extent_mm": [[2.0, 20.0]] * 3,
        "pieces": 2,
        "tissue_hu": [80, 160],
    }
    one = changed("inference", expected={"1": mine})
    other = changed("inference", of=2, expected={"1": theirs})
    expected = open_bundles([one, other], "cpu").expected[1]
    assert (expected.volume_ml, expected.pieces) == ((5.0, 100.0), 2)
    assert expected.extent_mm == ((1.0, 20.0),) * 3
    assert (expected.intensity_hu, expected.tissue_hu) == (None, (70.0, 160.0))
    assert open_bundles([one, bundles[0]], "cpu").expected[1].volume_ml is None, "fold_0: nothing"


def test_only_the_first_locates(bundles, changed):
    opened = open_bundles(bundles[:2], "cpu", mode="full")
    assert opened.mode == "full"
    blind = changed("inference", locator=None)
    with pytest.raises(ValueError, match="changed: has no locator"):
        open_bundles([blind, bundles[0]], "cpu", mode="focus")


# --- by the command


def test_segment_names_every_member(bundles, scan, tmp_path, monkeypatch, capsys):
    named = [word for one in bundles for word in ("--bundle", one)]
    assert run(monkeypatch, "segment", scan, "-o", tmp_path, *CPU, *named) == 0
    said = capsys.readouterr().out
    assert all(f"bundle: {one}" in said for one in bundles)
    manifest = json.loads(next(tmp_path.glob("*.manifest.json")).read_text())
    summary = json.loads((tmp_path / "summary.json").read_text())
    for settings in (manifest["settings"], summary["settings"]):
        members = settings["members"]
        assert [one["name"] for one in members] == ["fold_0", "fold_1", "fold_2"]
        assert all(len(one["weights_sha256"]) == len(one["bundle_sha256"]) == 64 for one in members)
        assert settings["bundle"]["name"] == "fold_0 + fold_1 + fold_2"
    assert run(monkeypatch, "segment", scan, "-o", tmp_path, *CPU, *named, "--resume") == 0
    assert json.loads((tmp_path / "summary.json").read_text())["cases"][0]["status"] in (
        "kept",
        "check",
    )


def test_a_dry_run_counts_every_network(bundles, scan, tmp_path, monkeypatch, capsys):
    named = [word for one in bundles for word in ("--bundle", one)]
    assert run(monkeypatch, "segment", scan, "-o", tmp_path, *CPU, *named, "--dry-run") == 0
    assert "3 on each window" in capsys.readouterr().out
    ours, single = (
        open_bundles(some, "cpu", backend="eager").segmenter().estimate(scan)
        for some in (bundles, bundles[:1])
    )
    assert ours.plan.window_bytes > single.plan.window_bytes


def test_a_bundle_among_the_scans_is_pointed_out(bundles, scan, tmp_path, monkeypatch, capsys):
    words = ("--bundle", bundles[0], bundles[1])
    assert run(monkeypatch, "segment", scan, "-o", tmp_path / "out", *CPU, *words) == 2
    assert "fold_1: a bundle (expected scans). Name each" in " ".join(
        capsys.readouterr().err.split()
    )
