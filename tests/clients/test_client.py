"""A run of clients: every check has a row, and one that fails makes the run fail."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.clients import client as clients
from tests.clients.__main__ import run
from tests.clients.client import CheckFailed, Client, Place, run_checks


@pytest.fixture
def place(tmp_path):
    return Place(Path(sys.executable).parent, tmp_path)


@pytest.fixture(autouse=True)
def _without_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(clients, "prepare", lambda client, folder: Place(Path("bin"), tmp_path))


def holds(place):
    (place.work / "file").touch(exist_ok=False)
    return "12 of 12"


def does_not_hold(place):
    raise CheckFailed("11 of 12")


def is_broken(place):
    raise KeyError("missing")


@pytest.mark.parametrize(
    ("check", "passed", "said"),
    [(holds, True, "12 of 12"), (does_not_hold, False, "11 of 12"), (is_broken, False, "KeyError")],
)
def test_the_outcome_of_a_check(tmp_path, check, passed, said):
    for _ in range(2):  # the second run finds nothing of the first
        _, outcome = run_checks(Client("x", "X 1.0", (check,)), tmp_path)
        assert outcome.passed is passed
        assert outcome.said.startswith(said)


@pytest.mark.parametrize(("checks", "passed"), [((holds,), True), ((does_not_hold, holds), False)])
def test_a_run_passes_if_every_check_does(tmp_path, checks, passed):
    printed = Console(file=io.StringIO(), width=100)
    assert run((Client("x", "X 1.0", checks),), tmp_path, printed) is passed
    assert printed.file.getvalue().count("12 of 12") == 2  # when it ends, and in the table


def test_a_program_that_fails_leaves_its_log(place):
    with pytest.raises(CheckFailed, match="exit status 3") as raised:
        place.run("python", "-c", "print('the reason'); raise SystemExit(3)")
    log = Path(str(raised.value).split("see ")[1])
    assert log.read_text().strip() == "the reason"


def test_a_program_that_takes_too_long_is_killed(place):
    with pytest.raises(CheckFailed, match="killed after 0 s"):
        place.run("python", "-c", "import time; time.sleep(60)", timeout=0.2)


def test_a_program_sees_nothing_of_our_python(place, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    script = "import os; print(os.environ.get('PYTHONPATH'))"
    assert place.run("python", "-c", script) == "None\n"
