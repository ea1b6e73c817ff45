"""Errors of the command line itself: one line, with the help to read."""

import pytest

from command_line import run

# arguments, what the line says
ERRORS = {
    "option": (("segment", "a.nii", "-o", "b", "--nope"), "No such option: --nope"),
    "argument": (("segment",), "Missing argument 'INPUT...'"),
    "command": (("segmnt",), "No such command 'segmnt'"),
    "number": (("train", "x", "-o", "y", "--epochs", "abc"), "Invalid value for '--epochs'"),
    "value": (("train", "x", "-o"), "requires an argument"),
}


@pytest.mark.parametrize(("arguments", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_one_line_says_what_is_wrong(monkeypatch, capsys, arguments, message):
    assert run(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert line.endswith(" --help.")


def test_without_arguments_there_is_help(monkeypatch, capsys):
    assert run(monkeypatch) == 0
    out, err = capsys.readouterr()
    assert "segment" in out
    assert err == ""
