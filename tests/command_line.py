"""The command line, run in the process of a test."""

import sys

import pytest

from monai_attn import cli


def run(monkeypatch, *arguments):
    """`monai-attn ARGUMENTS` in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["monai-attn", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code or 0


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())
