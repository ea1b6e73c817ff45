from pathlib import Path

import pytest

from monai_attn.cli.console import with_flag
from monai_attn.io.errors import (
    Faults,
    OptionError,
    case_error,
    lines_of,
    one_line,
    reason,
    remedy_of,
)

SCAN = Path("/data/a.nii.gz")


def chain(*texts):
    """Errors, each raised from the next."""
    error = None
    for text in reversed(texts):
        outer = ValueError(text)
        outer.__cause__ = error
        error = outer
    return error


def test_the_reason_is_the_root():
    assert reason(chain("around", "between", "the\nroot")) == "the root"
    assert reason(KeyError()) == "KeyError"
    assert reason(KeyError("lost")) == "KeyError: 'lost'"


# errors, each raised from the next; what is said
CASES = {
    "names the scan": (["/data/a.nii.gz: bad; mend it"], "/data/a.nii.gz: bad; mend it"),
    "names it and has a cause": (
        ["/data/a.nii.gz: bad; mend it", "block"],
        "/data/a.nii.gz: bad; mend it",
    ),
    "names it inside": (
        ["applying transform X", "/data/a.nii.gz: bad", "block"],
        "/data/a.nii.gz: bad",
    ),
    "does not name it": (
        ["the locator failed (x); use full", "x"],
        "/data/a.nii.gz: the locator failed (x); use full",
    ),
    "MONAI's wrapper alone": (["applying transform X", "singular"], "/data/a.nii.gz: singular"),
    "several lines": (["out\nof\nmemory"], "/data/a.nii.gz: out of memory"),
}


@pytest.mark.parametrize(("texts", "said"), CASES.values(), ids=CASES.keys())
def test_what_is_said_of_a_case(texts, said):
    assert case_error(SCAN, chain(*texts)) == said


def test_faults_say_a_line_each_and_others_one():
    faults = Faults("a.nii: bad; mend it", "b.nii:\nworse; mend it")
    assert lines_of(faults) == ["a.nii: bad; mend it", "b.nii: worse; mend it"]
    assert str(Faults("a.nii: bad", "b.nii: worse")) == "a.nii: bad\nb.nii: worse"
    assert one_line(faults) == "a.nii: bad; mend it b.nii: worse; mend it"
    assert lines_of(ValueError("out\nof memory")) == ["out of memory"]


@pytest.mark.parametrize(
    ("option", "value", "named", "flag"),
    [
        ("volume", "N", "volume=N", "--volume N"),
        ("dicom_seg", None, "dicom_seg", "--dicom-seg"),
        ("memory", "2.1GiB", "memory=2.1GiB", "--memory 2.1GiB"),
    ],
)
def test_an_option_is_named_as_a_function_takes_it_and_becomes_a_flag(option, value, named, flag):
    error = OptionError(f"{SCAN}: {{odd}}. Use ", option, value)
    assert str(error) == f"{SCAN}: {{odd}}. Use {named}."
    assert (error.option, error.value) == (option, value)
    outer = RuntimeError("around")
    outer.__cause__ = error
    text = case_error(SCAN, outer)
    assert with_flag(text, remedy_of(outer)) == f"{SCAN}: {{odd}}. Use {flag}."
    assert remedy_of(ValueError("plain")) == ""
    assert with_flag("plain", "") == "plain"
