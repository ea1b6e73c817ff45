"""Errors of the command line itself: one line, with the help to read."""

import pytest

from command_line import run

# arguments, the line
ERRORS = {
    "option": (
        ("segment", "a.nii", "-o", "b", "--zzz"),
        "No such option: --zzz. Run monai-attn segment --help.",
    ),
    "option like two others": (
        ("segment", "a.nii", "-o", "b", "--nope"),
        "No such option: --nope. Did you mean --mode or --name? Run monai-attn segment --help.",
    ),
    "mistyped option": (
        ("segment", "a.nii", "--outptu", "b"),
        "No such option: --outptu. Did you mean --output? Run monai-attn segment --help.",
    ),
    "missing option": (
        ("segment", "a.nii"),
        "Missing option '--output' / '-o'. Run monai-attn segment --help.",
    ),
    "argument": (("segment",), "Missing argument 'INPUT'. Run monai-attn segment --help."),
    "further argument": (
        ("phantom", "a", "b"),
        "Got unexpected extra argument(s) (b). Run monai-attn phantom --help.",
    ),
    "command": (
        ("segmnt",),
        "No such command 'segmnt'. Did you mean 'segment'? Run monai-attn --help.",
    ),
    "whole number": (
        ("train", "x", "-o", "y", "--epochs", "abc"),
        "Invalid value for '--epochs': a whole number expected. Run monai-attn train --help.",
    ),
    "number": (
        ("train", "x", "-o", "y", "--validation", "abc"),
        "Invalid value for '--validation': a number expected. Run monai-attn train --help.",
    ),
    "value": (
        ("merge-masks", "x", "-o"),
        "Option '-o' requires an argument. Run monai-attn merge-masks --help.",
    ),
    "empty path": (
        ("segment", "a.nii", "-o", ""),
        "Invalid value for '--output' / '-o': an empty path. Check whether a variable in the command is "
        "unset. Run monai-attn segment --help.",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_one_line_says_what_is_wrong(monkeypatch, capsys, arguments, message):
    assert run(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"error: {message}"]


def test_without_arguments_there_is_help(monkeypatch, capsys):
    assert run(monkeypatch) == 0
    out, err = capsys.readouterr()
    assert "segment" in out
    assert err == ""
