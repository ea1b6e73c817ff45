"""Gates held open: what the labels lose, in 3D and slice by slice."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from conftest import balance, copy_tiny
from monai_attn import DEFAULT_BUNDLE
from monai_attn.analysis.ablation import (
    OpenedLabel,
    _dices,
    ablation_table,
    mean_rows,
    open_ablation,
    write_ablation,
)
from monai_attn.bundle.open import open_bundle
from monai_attn.cli.app import app
from monai_attn.datasets.regions import Regions
from monai_attn.metrics.label_scores import score_labels
from monai_attn.phantom import write_phantoms

EAGER = {"backend": "eager"}


def coarse(bundle, root):
    """A copy of a tiny bundle in whose grid a phantom is one window."""
    shutil.copytree(bundle, root)
    config = root / "configs" / "inference.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "spacing": [16.0] * 3}))
    return root


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return coarse(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def scans(phantoms):
    return sorted((phantoms / "imagesTr").glob("*.nii.gz"))


@pytest.fixture(params=["tiny_bundle", "tiny_slice_bundle"], ids=["3D", "2D"])
def gated(request, tmp_path):
    """A function from the bias of the gate's psi to a bundle with it: alpha is that one's everywhere."""

    def make(bias):
        root = coarse(request.getfixturevalue(request.param), tmp_path / f"bundle{bias:+}")
        path = root / "models" / "model.pt"
        state = torch.load(path, weights_only=True)
        state["decoder.0.gate.psi.weight"].zero_()
        state["decoder.0.gate.psi.bias"].fill_(bias)
        torch.save(state, path)
        balance(root, foreground=0.1)
        return root

    return make


def test_opening_a_gate_that_is_open_changes_nothing(gated, scans):
    (row,) = open_ablation(gated(100.0), "cpu", **EAGER)(scans[0])
    assert (row.open, row.label, row.dice) == ("0", 1, 1.0)
    assert row.plain_ml == row.open_ml > 0
    assert row.change_ml == 0


def test_opening_a_gate_that_is_closed_changes_much(gated, scans):
    (row,) = open_ablation(gated(-100.0), "cpu", **EAGER)(scans[0])
    assert row.dice < 0.8
    assert row.change_ml == row.open_ml - row.plain_ml != 0


def test_the_numbers_are_those_of_the_labels(tiny_slice_bundle, scans, phantoms, tmp_path):
    root = coarse(tiny_slice_bundle, tmp_path / "bundle")
    reference = phantoms / "labelsTr" / scans[1].name
    (row,) = open_ablation(root, "cpu", **EAGER)(scans[1], reference)
    plain, opened = (
        open_bundle(root, "cpu", precision="float32", **EAGER).segmenter(open_levels=levels)(
            scans[1]
        )
        for levels in ((), (0,))
    )
    (score,) = score_labels(opened.labels, plain.labels, (1, 1, 1), labels=[1])
    assert row.dice == score.dice
    assert row.open_ml == pytest.approx(opened.volumes_ml[1])
    assert row.plain_ml == pytest.approx(plain.volumes_ml[1])
    expected = np.asarray(nib.load(reference).dataobj).astype(int)
    for labels, dice in (
        (plain, row.plain_reference_dice),
        (opened, row.open_reference_dice),
    ):
        assert dice == score_labels(labels.labels, expected, (1, 1, 1), labels=[1])[0].dice
    assert row.reference_dice_change == row.open_reference_dice - row.plain_reference_dice


def test_a_reference_of_other_values_is_refused_or_mapped(bundle, scans, phantoms, tmp_path):
    image = nib.load(phantoms / "labelsTr" / scans[0].name)
    organs = np.asarray(image.dataobj).astype(np.uint8) * 7
    organs[0, 0, 0] = 2
    nib.save(nib.Nifti1Image(organs, image.affine), tmp_path / "organs.nii.gz")
    ablation = open_ablation(bundle, "cpu", **EAGER)
    with pytest.raises(
        ValueError, match=r"organs\.nii\.gz: unknown label values \(got 7, expected 0, 1, 2\)"
    ):
        ablation(scans[0], tmp_path / "organs.nii.gz")
    plain = ablation(scans[0], phantoms / "labelsTr" / scans[0].name)
    assert ablation(scans[0], tmp_path / "organs.nii.gz", {7: 1}) == plain


def test_a_reference_has_the_values_that_the_bundle_was_trained_with(
    bundle, scans, phantoms, tmp_path
):
    """The shipped bundles know 2, a tumour in the pancreas, as pancreas too."""
    image = nib.load(phantoms / "labelsTr" / scans[0].name)
    labels = np.asarray(image.dataobj).astype(np.uint8)
    labels[labels == 1] = 2
    nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / "a.nii.gz")
    ablation = open_ablation(bundle, "cpu", **EAGER)
    (row,) = ablation(scans[0], tmp_path / "a.nii.gz")
    (same,) = ablation(scans[0], phantoms / "labelsTr" / scans[0].name)
    assert row == same
    assert row.plain_reference_dice > 0


def test_a_region_is_compared_with_all_that_is_within_it():
    labels, other = np.array([1, 2, 2, 0]), np.array([1, 1, 2, 0])
    regions = Regions({1: (1, 2), 2: (2,)})
    assert _dices(labels, other, [1, 2], regions) == {1: 1.0, 2: pytest.approx(2 / 3)}


def test_where_a_reference_is_ignored_no_label_counts():
    labels, reference = np.array([1, 1, 1, 0]), np.array([1, 0, 255, 255])
    assert _dices(labels, reference, [1]) == {1: pytest.approx(2 / 3)}
    assert _dices(labels, np.array([1, 0, 0, 1]), [1]) == {1: pytest.approx(2 / 5)}


def test_an_opened_bundle_says_so_and_a_plain_one_does_not(tiny_bundle):
    bundle = open_bundle(tiny_bundle, "cpu", **EAGER)
    assert bundle.segmenter(open_levels=[0]).settings["open_levels"] == [0]
    assert "open_levels" not in bundle.segmenter().settings


def test_several_gates_are_opened_one_by_one_and_together(tmp_path, scans):
    """Three classes, three levels."""
    values = {
        "network_def#channels": [4, 4, 4],
        "network_def#strides": [2, 2],
        "network_def#deep_supervision": 0,
        "network_def#gated_levels": [0, 1],
        "num_classes": 3,
        "spacing": [16.0] * 3,
        "roi_size": [32, 32, 16],
        "locator": None,
    }
    root = tmp_path / "bundle"
    names = {"0": "background", "1": "liver", "2": "spine"}
    metadata = {"network_data_format#outputs#pred#channel_def": names}
    copy_tiny(DEFAULT_BUNDLE, root, inference=values, metadata=metadata)
    _save_weights(root)
    rows = open_ablation(root, "cpu", **EAGER)(scans[0])
    assert [(row.open, row.label) for row in rows] == [
        (gate, label) for gate in ("0", "1", "all") for label in (1, 2)
    ]
    assert {row.plain_ml for row in rows if row.label == 1} != {0.0}


def _save_weights(root):
    from bundle_runs import opened

    network = opened(root, "inference").get_parsed_content("network_def")
    torch.save(network.state_dict(), root / "models" / "model.pt")


def test_a_label_that_is_in_neither_agrees(bundle, scans, tmp_path):
    path = bundle / "models" / "model.pt"
    state = torch.load(path, weights_only=True)
    state["heads.0.bias"] += torch.tensor([1e6, -1e6])
    torch.save(state, path)
    empty = tmp_path / "empty.nii.gz"
    scan = nib.load(scans[0])
    nib.save(nib.Nifti1Image(np.zeros(scan.shape, np.uint8), scan.affine), empty)
    (row,) = open_ablation(bundle, "cpu", **EAGER)(scans[0], empty)
    assert (row.dice, row.change_ml, row.open_reference_dice) == (1.0, 0.0, None)


def test_a_bundle_without_gates_is_one_line(bundle):
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["network_def"]["gate"] = None
    config.write_text(json.dumps(content))
    _save_weights(bundle)
    with pytest.raises(ValueError, match=r"bundle: its network has no gates"):
        open_ablation(bundle, "cpu", **EAGER)
    with pytest.raises(ValueError, match="must be among those with a gate"):
        open_bundle(bundle, "cpu", **EAGER).segmenter(open_levels=[0])


def test_a_reference_on_another_grid_is_named(tiny_bundle, scans, phantoms):
    other = phantoms / "labelsTr" / scans[3].name
    with pytest.raises(ValueError, match=f"{other}: is not on the grid of {scans[0]}"):
        open_ablation(tiny_bundle, "cpu", **EAGER)(scans[0], other)


# --- tables


ROWS = [
    OpenedLabel("a", "1", 1, 0.5, 100.0, 120.0, 0.9, 0.7),
    OpenedLabel("b", "1", 1, 1.0, 100.0, 100.0, 0.9, 0.9),
    OpenedLabel("a", "all", 1, 0.25, 100.0, 0.0, 0.9, 0.1),
]


def test_means_are_over_cases():
    first, last = mean_rows(ROWS)
    assert (first["open"], first["n"], first["dice"], first["change_ml"]) == ("1", 2, 0.75, 10.0)
    assert first["reference_dice_change"] == pytest.approx(-0.1)
    assert (last["open"], last["n"], last["change_ml"]) == ("all", 1, -100.0)


def test_what_is_written_is_what_was_measured(tmp_path):
    written = json.loads(write_ablation(ROWS, tmp_path / "a.json", {"mode": "full"}).read_text())
    assert written["settings"] == {"mode": "full"}
    assert written["cases"] == [row.row() for row in ROWS]
    assert written["mean"] == mean_rows(ROWS)
    with write_ablation(ROWS, tmp_path / "a.csv", {}).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["change_ml"]) for row in rows] == [20.0, 0.0, -100.0]


def test_the_table_has_no_column_for_a_reference_that_is_not_there():
    bare = [OpenedLabel("a", "1", 1, 0.5, 100.0, 120.0)]
    assert len(ablation_table(bare, {1: "pancreas"}).columns) == 6
    assert len(ablation_table(ROWS, {1: "pancreas"}).columns) == 8


def test_the_command_goes_on_after_a_scan_that_fails(bundle, scans, phantoms, tmp_path):
    broken = tmp_path / scans[1].name
    broken.write_bytes(scans[1].read_bytes()[:100])
    options = ("--bundle", bundle, "--device", "cpu", "--backend", "eager")
    words = (scans[0], broken, "--reference", phantoms / "labelsTr", "-o", tmp_path / "a.csv")
    result = CliRunner().invoke(app, ["ablate", *map(str, (*words, *options))])
    assert result.exit_code == 1
    assert f"error: {broken}: " in result.stderr
    assert "Dice" in result.stdout
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 2


@pytest.mark.slow
def test_in_focus_mode_the_same_windows_run(tmp_path):
    write_phantoms(tmp_path, 1, seed=3)
    scan = next((tmp_path / "imagesTr").iterdir())
    ablation = open_ablation(DEFAULT_BUNDLE, "cpu", mode="focus", **EAGER)
    plain, opened = (segmenter(scan).plan for segmenter in (ablation.plain, ablation.opened["all"]))
    assert plain.mode == opened.mode == "focus"
    assert plain.windows == opened.windows
