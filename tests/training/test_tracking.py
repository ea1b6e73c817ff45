import sqlite3

import pytest

from monai_attn.training import tracking
from monai_attn.training.config_files import write_config
from monai_attn.training.tracking import check_tracking, parameters, tracking_settings


def test_an_unknown_tracker_is_refused():
    with pytest.raises(ValueError, match=r"tracking \(=wandb\): unknown \(mlflow expected\)"):
        check_tracking("wandb")


@pytest.mark.parametrize("missing", ["mlflow", "sqlalchemy"])
def test_the_extra_is_named_if_mlflow_is_missing(missing, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ValueError, match=r'pip install "monai-attn\[mlflow\]"'):
        check_tracking("mlflow")
    assert check_tracking(None) is None


def test_parameters_are_plain_values():
    config = {
        "epochs": 3,  # may be another when it is resumed
        "seed": 0,
        "spacing": [2.0, 2.0],
        "strides": [[2, 1], [2, 2]],
        "quiet": False,
        "ignore": None,
        "device": "$torch.device('cpu')",
        "network": "@network_def",
        "network_def": {"channels": [4, 8]},
        "imports": ["$import os"],
    }
    assert [*parameters(config)] == ["seed", "spacing", "strides", "quiet"]


def test_the_run_has_the_names_of_folder_and_bundle(tmp_path):
    run = tmp_path / "a_run"
    (run / "configs").mkdir(parents=True)
    write_config(run / "configs" / "metadata.json", {"name": "a_bundle"})
    write_config(run / "configs" / "train.json", {"seed": 3})
    trainer = tracking_settings(run)["configs"]["trainer"]
    assert (trainer["run_name"], trainer["experiment_name"]) == ("a_run", "a_bundle")
    assert trainer["tracking_uri"] == f"sqlite:///{run}/training/mlruns.db"
    assert trainer["experiment_param"] == {"bundle": "a_bundle", "seed": 3}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of MLflow's libraries
def test_a_training_is_tracked(tiny_bundle, phantoms, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from monai_attn import train

    run = tmp_path / "run"
    options = {"epochs": 2, "validation": 0.5, "settings": {"val_interval": 1}}
    train(phantoms, run, bundle=tiny_bundle, labels=["1=pancreas"], tracking="mlflow", **options)
    database = sqlite3.connect(run / "training" / "mlruns.db")
    metrics = {name for (name,) in database.execute("select key from metrics")}
    assert {"train_loss", "train_mean_dice", "val_mean_dice"} <= metrics
    (epochs,) = database.execute("select value from params where key = 'max_epochs'").fetchone()
    assert epochs == "2"
    assert database.execute("select name, status from runs").fetchall() == [("run", "FINISHED")]
    database.close()
