"""Trainings and data that several test modules of trainings use."""

import shutil

import pytest

from monai_attn.training.request import Request
from tests.training.training_runs import STILL, TINY, train


@pytest.fixture(scope="session")
def two_epoch_run(tiny_bundle, phantoms, tmp_path_factory):
    """A run of two epochs, by the command, and its terminal output."""
    run = tmp_path_factory.mktemp("train") / "run"
    result = train(phantoms, "-o", run, "--bundle", tiny_bundle, "--label", "1=pancreas", *TINY)
    assert result.exit_code == 0, result.output
    return run, result.output


@pytest.fixture(scope="session")
def untrained_run(tiny_bundle, phantoms, tmp_path_factory):
    """A run of another seed and spacing, which learned nothing."""
    run = tmp_path_factory.mktemp("train") / "other"
    words = ("--bundle", tiny_bundle, *STILL, "--seed", 7, "--set", "spacing=[9,9,9]")
    result = train(phantoms, "-o", run, *words)
    assert result.exit_code == 0, result.output
    return run


@pytest.fixture
def own_phantoms(phantoms, tmp_path):
    """A copy of the phantoms, which a test may break."""
    folder = tmp_path / "data"
    shutil.copytree(phantoms, folder)
    return folder


@pytest.fixture
def split_of_empty_files(tmp_path):
    """Two cases to train and one to validate, as empty files."""
    cases = []
    for name in ("a", "b", "c"):
        for kind in ("image", "label"):
            (tmp_path / f"{name}_{kind}.nii.gz").touch()
        cases.append({kind: str(tmp_path / f"{name}_{kind}.nii.gz") for kind in ("image", "label")})
    return {"training": cases[:2], "validation": cases[2:]}


@pytest.fixture
def run_request(tiny_bundle):
    """A request for two epochs without gates."""
    settings = {"network_def#gate": None, "spacing": [3, 3, 3], "epochs": 2}
    return Request(str(tiny_bundle), "/data/set", settings=settings)
