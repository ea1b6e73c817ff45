"""Tracking of a training by MLflow, through MONAI's own handler.

The settings have the form of `monai.bundle`'s `--tracking`, which appends a handler to those of the trainer
and of the validator.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monai_attn.training.config_files import read_config

MLFLOW = "mlflow"
DATABASE = "mlruns.db"
NOT_FIRST = (
    "$torch.distributed.is_available() and torch.distributed.is_initialized() "
    "and torch.distributed.get_rank() > 0"
)
PLAIN = (bool, int, float, str)
CODE = ("$", "@")
CHANGES = ("bundle_root", "epochs", "resume")  # with --resume, and MLflow's parameters must not


def check_tracking(tracking: str | None) -> None:
    """Check that a tracker is known and installed.

    Raises:
        ValueError: if it is not.
    """
    if tracking is None:
        return
    if tracking != MLFLOW:
        raise ValueError(f"tracking (={tracking}): unknown ({MLFLOW} expected). Leave it out.")
    # the small package mlflow-skinny has no database
    if find_spec("mlflow") is None or find_spec("sqlalchemy") is None:
        raise ValueError(
            'tracking (=mlflow): MLflow is not installed. Run pip install "monai-attn[mlflow]".'
        )


def tracking_settings(run: Path) -> dict[str, Any]:
    """Return the settings with which MONAI tracks a training: parameters, loss of each step, metrics.

    The run of MLflow has the name of the training's folder, and its experiment that of the bundle. They are
    stored in a database in the folder `training`, unless `MLFLOW_TRACKING_URI` names a server.

    Args:
        run: the training's folder.
    """
    metadata = read_config(run / "configs" / "metadata.json")
    train = read_config(run / "configs" / "train.json")
    database = (run / "training" / DATABASE).absolute()
    database.parent.mkdir(exist_ok=True)
    name = str(metadata.get("name", run.absolute().name))
    shared = {
        "_target_": "MLFlowHandler",
        "_disabled_": "@is_not_rank0",
        "tracking_uri": f"sqlite:///{database}",
        "experiment_name": name,
        "run_name": run.absolute().name,
    }
    return {
        "handlers_id": {
            "trainer": {"id": "train#trainer", "handlers": "train#handlers"},
            "validator": {"id": "validate#evaluator", "handlers": "validate#handlers"},
        },
        "configs": {
            "is_not_rank0": NOT_FIRST,
            "save_execute_config": False,  # the configs are in the folder
            "trainer": {
                **shared,
                "experiment_param": {"bundle": name} | parameters(train),
                "tag_name": "train_loss",
                "output_transform": "$monai.handlers.from_engine(['loss'], first=True)",
                "close_on_complete": True,
            },
            "validator": {**shared, "iteration_log": False},
        },
    }


def parameters(train: dict[str, Any]) -> dict[str, Any]:
    """Return the plain values of a training's config that stay: numbers, names, and lists of them."""
    return {key: value for key, value in train.items() if _is_plain(value) and key not in CHANGES}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_plain(one) for one in value)
    return isinstance(value, PLAIN) and not str(value).startswith(CODE)
