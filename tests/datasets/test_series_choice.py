"""The series that is segmented, of those of a study."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_series import ROOT, SERIES, other
from monai_attn.datasets.series_choice import choose_series


def names(found):
    return [series.path.name for series in choose_series(found)[0]]


# changes to the series that is chosen, and to the one that is not
RULES = {
    "a volume": ({}, {"slices": 4}),
    "several positions": ({}, {"spacing": 0.0}),
    "no localizer": ({"slices": 2}, {"localizer": True}),
    "axial": ({}, {"plane": "coronal", "contrast": True}),
    "original": ({}, {"derived": True, "contrast": True}),
    "contrast": ({"contrast": True, "spacing": 5.0}, {}),
    "thin": ({"spacing": 1.25, "slices": 50}, {}),
    "many slices": ({"slices": 120}, {}),
    "the later phase": ({"acquired": "20260101120500", "number": 3}, {}),
    "the higher number": ({"number": 6}, {}),
    "CT": ({"plane": "coronal"}, {"modality": "MR"}),
}


@pytest.mark.parametrize(("better", "worse"), RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("first", [True, False])
def test_the_rule(better, worse, first):
    pair = [other("good", **better), other("bad", **worse)]
    chosen, [line] = choose_series(pair if first else pair[::-1])
    assert [series.path.name for series in chosen] == ["good"]
    assert line.startswith("p/study/good (series ")
    assert "chosen; left out: bad (" in line


def test_slices_below_a_millimetre_are_no_thinner():
    thin = [other("a", spacing=0.5, slices=100), other("b", spacing=1.0, slices=101)]
    assert names(thin) == ["b"]


def test_each_study_has_its_own_choice():
    found = [
        SERIES,
        other("s2", study="2"),
        other("s3", patient="Q"),
        replace(other(), path=Path("q/study/s4"), uid="1.4"),
    ]
    assert choose_series(found) == (found, [])


def test_series_that_cannot_be_told_apart_are_all_kept():
    same = [SERIES, replace(SERIES, path=ROOT / "s2")]  # one UID: copies, or a careless anonymiser
    assert choose_series(same) == (same, [])
    nameless = [replace(SERIES, study=""), other(study="")]
    assert choose_series(nameless) == (nameless, [])


def test_a_faulty_original_is_listed_too():
    broken = other("broken", fault="s: 3 slices missing", slices=200)
    reformat = other("reformat", fault="uneven", derived=True)
    tracker = other("tracker", fault="at the same position", slices=10, spacing=0.0)
    found = [SERIES, broken, reformat, tracker]
    assert names(found) == ["s1", "broken"]
    assert names([reformat]) == ["reformat"]  # so that it is refused with its reason


def test_a_study_without_a_ct_is_told():
    chosen, [line] = choose_series([SERIES, other("m", modality="MR", study="2", number=None)])
    assert chosen == [SERIES]
    assert line == "p/study/m: no CT to segment (got m (MR)). It is left out."


def test_lines_hold_no_text_of_a_header():
    found = [SERIES, other(description="DOE^JANE", patient="P")]
    assert "DOE" not in "".join(choose_series(found)[1])
