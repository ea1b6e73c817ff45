"""The measure of a process: a fork that runs the command line."""

import pytest

from benchmarks.process import measure_fork

COMMAND = ["python", "-m", "monai_attn.cli"]


def test_a_fork_runs_the_command_line(tmp_path):
    run = measure_fork([*COMMAND, "--version"], tmp_path / "log")
    assert (tmp_path / "log").read_text().strip()
    assert run.processor > 0
    assert run.mib > 10


def test_a_fork_that_fails_says_what_it_said(tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)failed.*no_such_option"):
        measure_fork([*COMMAND, "segment", "--no_such_option"], tmp_path / "log")
