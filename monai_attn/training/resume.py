"""Resumption of a training: the check of its options, another number of epochs, and its weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_attn.bundle.find import find_bundle
from monai_attn.datasets.splits import FOLDS
from monai_attn.training.checkpoints import read_state
from monai_attn.training.config_files import read_config, write_config, write_text
from monai_attn.training.overrides import Config, override
from monai_attn.training.pretrained import MODEL, WeightFit
from monai_attn.training.request import Request
from monai_attn.training.run_folder import RUN, TRAINING

RECORDS = ("weights", "extended")  # entries of run.json besides the request
COSINE, MONAI_COSINE = "monai_attn.training.WarmupCosine", "WarmupCosineSchedule"
CURVES = {COSINE: "a cosine", "monai_attn.training.PolynomialDecay": "a power"}

UNUSED_WEIGHTS = "has weights to start from"


def resume_run(run: Path, request: Request) -> dict[str, str]:
    """Check that a training is resumed with its own options, and apply another number of epochs.

    Returns:
        Lines for the user: under "weights" the weights that it continues from, under "epochs" the effect
        of another number of epochs.

    Raises:
        ValueError: if the folder holds no training, no checkpoint can be read, more epochs are done than
            asked for, or another option differs; it names the option.
    """
    try:
        record = json.loads((run / RUN).read_text(encoding="utf-8"))
        options = {name: value for name, value in record.items() if name not in RECORDS}
        old = {**options.pop("settings"), **options}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{run}: no training to resume (no complete {RUN}). Empty the folder, and begin a new training."
        ) from error
    options = json.loads(json.dumps(asdict(request)))
    new = {**options.pop("settings"), **options}
    for values in (old, new):  # earlier versions stored the default
        values["folds"] = values.get("folds") or FOLDS
        values.setdefault("recipe", "")
    for name in sorted(old.keys() | new.keys()):
        if name == "epochs" and name in new:
            continue
        if old.get(name) != new.get(name):
            raise ValueError(
                f"{run}: another {name} than at its start (got {_option(new, name)}, expected "
                f"{_option(old, name)}). Resume it with the same options, or begin in another folder."
            )
    with warnings.catch_warnings():  # training reads it again, and warns then
        warnings.simplefilter("ignore")
        state = read_state(run / TRAINING)
    train = read_config(run / "configs" / "train.json")
    extended = new.get("epochs", train["epochs"]) != train["epochs"]
    lines = {"weights": describe_weights(run)}
    if state:
        lines["weights"] = (
            f"the checkpoint in {run / TRAINING}, after epoch {state['epoch']} of {train['epochs']}"
        )
        waited = state["parts"].get("early_stop", {})
        if waited.get("counter", 0) >= train["patience"]:
            lines["weights"] += ", where early stopping ended it"
            if extended and "epochs" not in waited:
                raise ValueError(
                    f"{run}: ended early in an earlier version, whose early stopping cannot start again. "
                    f"Begin in another folder, from the weights of {run}."
                )
    if extended:
        lines["epochs"] = _set_epochs(run, train, new["epochs"], state["epoch"] if state else 0)
    return lines


def _set_epochs(run: Path, train: Config, epochs: int, done: int) -> str:
    """Set another number of epochs for a training, and describe the effect in one line."""
    before = train["epochs"]
    override([train], {"epochs": epochs})
    if epochs < max(1, done):
        raise ValueError(
            f"{run}: {done} epochs are done (got epochs {epochs}, expected {max(1, done)} or more). Choose "
            "more epochs, or begin in another folder."
        )
    train["val_interval"] = min(train["val_interval"], epochs)
    schedule = train.get("lr_scheduler", {})
    if schedule.get("_target_") == MONAI_COSINE:  # it would keep its length, and rise after its end
        schedule["_target_"] = COSINE
    write_config(run / "configs" / "train.json", train)
    record = read_config(run / RUN)
    record["settings"]["epochs"] = epochs
    record["extended"] = [*record.get("extended", []), {"after": done, "epochs": epochs}]
    write_config(run / RUN, record)
    readme = run / "docs" / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    write_text(
        readme, f"{text}\nAfter epoch {done} it was given {epochs} epochs, {before} before.\n"
    )
    curve = CURVES.get(schedule.get("_target_"))
    rate = f"{curve} over all {epochs}" if curve else "lr_scheduler in train.json"
    return (
        f"{epochs} instead of {before}, of which {done} are done; from epoch {done + 1} on the learning rate "
        f"follows {rate}, and early stopping counts from 0"
    )


def describe_weights(run: Path) -> str:
    """Describe in one line the weights that the first epoch of a training starts from."""
    record = read_config(run / RUN)
    weights, bundle = record.get("weights"), record["bundle"]
    if weights:
        return WeightFit(**weights["fit"]).describe(weights["from"])
    seed = read_config(run / "configs" / "train.json")["seed"]
    try:
        has_weights = (find_bundle(bundle) / MODEL).is_file()
    except ValueError:
        has_weights = False
    remark = f"; {bundle} {UNUSED_WEIGHTS}" if has_weights else ""
    return f"from scratch (random, seed {seed}){remark}"


def _option(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "the default"
