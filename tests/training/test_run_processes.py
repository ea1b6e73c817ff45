"""Trainings of several processes, and of one that is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from monai_attn.distributed.process_info import ProcessInfo
from monai_attn.training.run import prepare, train_run
from tests.training.training_runs import (
    STILL,
    TINY,
    gate_rows,
    parameters,
    progress_rows,
    request_for,
    same_tensors,
    train,
)


def test_several_processes_need_cases_for_each(own_phantoms, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "monai_attn.training.run.read_process_info", lambda: ProcessInfo(0, 2, 0, 2)
    )
    for more, said in (
        ({"settings": {"batch_size": 3}}, "multiple of the 2 processes .*Set batch_size to 4"),
        ({"validation": 0.2}, "too few cases for validation .got 1, expected 2"),
    ):
        with pytest.raises(ValueError, match=said):
            prepare(tmp_path / "run", request_for(own_phantoms, tiny_bundle, **more))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("ranks", "device", "given"),
    [(1, "cuda", "$torch.device('cuda')"), (2, "cuda", None), (2, "cpu", "$torch.device('cpu')")],
)
def test_each_of_several_processes_takes_its_own_gpu(tmp_path, monkeypatch, ranks, device, given):
    asked_for = []

    class Workflow:
        def __init__(self, **options):
            asked_for.append(options.get("device"))

        initialize = run = finalize = lambda self: None

    monkeypatch.setattr("monai_attn.training.run.ConfigWorkflow", Workflow)
    monkeypatch.setattr(
        "monai_attn.training.run.read_process_info", lambda: ProcessInfo(0, ranks, 0, ranks)
    )
    train_run(tmp_path, device=device)
    assert asked_for == [given]


def start(*words, ranks=1):
    """A process, or several, with as many threads as this one: their number changes the rounding."""
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "monai_attn", "train", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )


@pytest.mark.slow
def test_a_killed_training_ends_where_an_unbroken_one_does(tiny_bundle, phantoms, tmp_path):
    words = [phantoms, "--bundle", tiny_bundle, *TINY, "--epochs", "4", "--cache", tmp_path / "c"]
    assert train(*words, "-o", tmp_path / "unbroken").exit_code == 0
    killed = start(*words, "-o", tmp_path / "killed")
    while not (tmp_path / "killed" / "training" / "previous.pt").exists():
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert train(*words, "-o", tmp_path / "killed", "--resume").exit_code == 0
    assert progress_rows(tmp_path / "killed") == progress_rows(tmp_path / "unbroken")
    assert gate_rows(tmp_path / "killed") == gate_rows(tmp_path / "unbroken")
    best = [
        torch.load(tmp_path / run / "models" / "model.pt", weights_only=True)
        for run in ("killed", "unbroken")
    ]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


@pytest.mark.slow
def test_two_processes_train_as_one_does(tiny_bundle, phantoms, tmp_path):
    words = [phantoms, "--bundle", tiny_bundle, *TINY, "--cache", tmp_path / "cache"]
    together = start(*words, "-o", tmp_path / "two", ranks=2)
    _, errors = together.communicate(timeout=400)
    assert together.returncode == 0, errors
    assert train(*words, "-o", tmp_path / "one").exit_code == 0
    one, two = progress_rows(tmp_path / "one"), progress_rows(tmp_path / "two")
    for alone, shared in zip(one, two, strict=True):
        assert float(shared["loss"]) == pytest.approx(float(alone["loss"]), rel=2e-3)
        assert float(shared["metric"]) == pytest.approx(float(alone["metric"]), abs=0.02)
        assert shared["windows"] == alone["windows"]
    assert (tmp_path / "two" / "eval" / "scores.json").is_file()
    assert [row["epoch"] for row in gate_rows(tmp_path / "two")] == ["1", "2"]


@pytest.mark.slow
def test_all_processes_start_from_the_same_weights(untrained_run, phantoms, tmp_path):
    words = (phantoms, "-o", tmp_path / "two", "--from", untrained_run, *STILL, "--validation", 0.5)
    together = start(*words, ranks=2)
    _, errors = together.communicate(timeout=400)
    assert together.returncode == 0, errors
    assert errors.count("weights: ") == 1
    assert same_tensors(parameters(tmp_path / "two"), parameters(untrained_run))
