"""Help texts: one form for all options, and nothing cut off on a terminal of 80 characters."""

import re

import pytest
from typer.main import get_command

from command_line import run
from monai_attn.cli import app

COMMANDS = get_command(app).commands
PARAMETERS = [
    pytest.param(parameter, id=f"{name} {parameter.name}")
    for name, command in COMMANDS.items()
    for parameter in command.params
]
# a phrase that is not a noun or an order
CLAUSES = ("what", "whether", "how", "where", "of", "the", "a", "an", "if", "is")


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_text_is_a_sentence_with_its_default_once(parameter):
    text = parameter.help
    assert re.match(r"[A-Z].*\.$", text)
    assert "\n" not in text
    assert text.split()[0].lower() not in CLAUSES
    shown = parameter.param_type_name == "option" and not parameter.is_flag and parameter.default
    assert ("by default" in text.lower()) <= (not shown)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_switch_is_only_turned_on(parameter):
    assert not getattr(parameter, "secondary_opts", [])


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_no_help_is_cut_off_at_80_characters(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, *([name] if name else []), "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_usage_names_each_argument_once(name, monkeypatch, capsys):
    run(monkeypatch, name, "--help")
    (usage,) = [line for line in capsys.readouterr().out.splitlines() if "Usage:" in line]
    assert "......" not in usage
    assert "...}" not in usage
    assert "[[" not in usage
