"""The check of docstrings finds question words, and nothing else."""

import pytest

from wording import faults


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('"""What a gate did."""\n', [1]),
        ('"""Measures of a gate."""\n\n\ndef f():\n    """How it is done."""\n', [5]),
        ('class A:\n    """Whatever fits."""\n\n    def b(self):\n        pass\n', []),
        ('x = "What is this?"\n', []),
    ],
    ids=["a module", "a function", "a longer word and no docstring", "a string"],
)
def test_question_words_are_found(tmp_path, source, lines):
    path = tmp_path / "module.py"
    path.write_text(source)
    assert [int(fault.split(":")[-2]) for fault in faults(path)] == lines
