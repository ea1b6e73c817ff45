"""Trainings by the command, and what they leave, for tests."""

import csv
import json

import torch
from typer.testing import CliRunner

from monai_attn.cli.app import app
from monai_attn.training.request import Request

TINY = ("--epochs", "2", "--set", "val_interval=1", "--validation", "0.5")
STILL = ("--epochs", 1, "--set", "val_interval=1", "--set", "learning_rate=0")


def train(*words):
    """Run `monai-attn train WORDS`."""
    return CliRunner().invoke(app, ["train", *map(str, words)], catch_exceptions=False)


def progress_rows(run):
    """Each epoch's row, without the time it took."""
    with (run / "training" / "progress.csv").open(newline="") as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


def gate_rows(run):
    """What the gates did in each epoch."""
    with (run / "training" / "attention.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scan_name(path):
    """A file's name without its suffix."""
    return path.rsplit("/", 1)[-1].removesuffix(".nii.gz")


def parameters(run):
    """The weights of a run, without the running means of its norms."""
    state = torch.load(run / "models" / "model.pt", weights_only=True)
    return {name: tensor for name, tensor in state.items() if name.endswith((".weight", ".bias"))}


def same_tensors(a, b):
    """Compare two networks, name by name and bit by bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def request_for(data, bundle, **more):
    """A request to train a bundle on a data set."""
    return Request(str(bundle), str(data), **more)


def record_and_config(run):
    """The record of a run, and its config of the training."""
    return [json.loads((run / name).read_text()) for name in ("run.json", "configs/train.json")]


def fill_disk_at(epoch, monkeypatch):
    """Let the disk be full when the checkpoint of an epoch is saved; `monkeypatch.undo()` makes room."""
    save = torch.save

    def full(state, file):
        if isinstance(state, dict) and state.get("epoch") == epoch:
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", full)
