"""The comparison of training loops: equal windows, equal networks, and the rates of its table."""

import json

import pytest

from benchmarks import training
from benchmarks.training import (
    NNUNET,
    OURS,
    PLAIN,
    network_options,
    same_window,
    table_of,
    train_config,
    windows_per_step,
)
from monai_attn import AttentionUNet


def test_the_network_is_the_shipped_one():
    options = network_options(train_config())
    network = AttentionUNet(**options)
    assert options["out_channels"] == 2
    assert len(network.heads) == 1 + options["deep_supervision"]


def test_nnunet_gets_the_window_and_the_batch_of_the_bundle(tmp_path):
    plans = tmp_path / "plans.json"
    plan = {"patch_size": [1, 2, 3], "batch_size": 9, "spacing": [3.0, 2.0, 2.0]}
    content = {"transpose_forward": [0, 1, 2], "configurations": {"3d_fullres": plan}}
    plans.write_text(json.dumps(content))
    config = train_config()
    same_window(plans, config)
    found = json.loads(plans.read_text())["configurations"]["3d_fullres"]
    assert found["patch_size"] == config["roi_size"][::-1]
    assert found["batch_size"] == windows_per_step(config) == 4
    assert found["spacing"] == plan["spacing"]


def test_a_plan_with_other_axes_is_refused(tmp_path):
    plans = tmp_path / "plans.json"
    plans.write_text(
        json.dumps({"transpose_forward": [2, 0, 1], "configurations": {"3d_fullres": {}}})
    )
    with pytest.raises(SystemExit, match=r"plans\.json: transpose_forward"):
        same_window(plans, train_config())


def test_the_ratios_are_medians_of_the_epochs_taken_together():
    peer, own = "nnU-Net's loop, float32", next(reversed(OURS))
    runs = {
        PLAIN: [[2.0, 1.0], [4.0, 2.0], [8.0, 4.0]],
        peer: [[1.0, 0.5], [1.0, 1.0], [1.0, 2.0]],
        own: [[0.5, 0.25], [1.0, 0.25], [2.0, 1.0]],
    }
    assert peer in NNUNET
    cells = [list(column.cells) for column in table_of(runs, 12).columns]
    assert cells[0] == [PLAIN, peer, own]
    assert cells[1] == ["6.000", "12.000", "48.000"]  # windows per processor second
    assert cells[2] == ["3.000", "12.000", "12.000"]
    assert cells[5] == ["1.00", "2.00", "4.00"]
    assert cells[6] == ["0.50", "1.00", "2.00"]


def test_both_loops_of_ours_take_their_precision_from_the_arm(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(training, "ours", lambda data, folder, dtype: asked.append(dtype))
    monkeypatch.setattr(training, "plain", lambda data: asked.append("plain"))
    monkeypatch.setattr(training, "timed_epochs", lambda trainer, epochs: [])
    for arm in (PLAIN, *OURS):
        training.run_arm(arm, str(tmp_path), 1)
    assert asked == ["plain", "float32", "auto"]
