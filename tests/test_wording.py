"""The checks of wording find question words and subjects out of form, and nothing else."""

import pytest

from wording import faults, subject_fault


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


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("Regenerate the case figure from the demo", ""),
        ("Speed up the reader of DICOM series", ""),
        ("Regenerated the case figure", "Regenerated is no imperative"),
        ("Fixing the reader", "Fixing is no imperative"),
        ("mend the reader", "begins with a small letter"),
        ("Mend the reader.", "ends with a full stop"),
        ("M" * 73, "73 characters (limit 72)"),
    ],
)
def test_a_subject_is_a_short_imperative(subject, fault):
    assert subject_fault(subject) == fault
