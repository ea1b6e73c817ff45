"""When labels are to be checked, and what the line says."""

import json

import pytest

from monai_attn.inference.label_measures import LabelMeasures, Pieces
from monai_attn.inference.result_checks import (
    Expected,
    FailedCheck,
    Intensity,
    check_words,
    failed_checks,
    read_expected,
)

RANGES = ((55.0, 240.0), (22.0, 113.0), (42.0, 180.0))
PANCREAS = Expected((35.0, 320.0), RANGES, 1)
NAMES = {1: "pancreas", 2: "cyst"}


def measures(volume=80.0, extent=(120.0, 60.0, 80.0), faces=(), pieces=1):
    return LabelMeasures(volume, extent, Pieces(pieces, pieces), faces)


# measures of label 1 or None, sizeable pieces before, what is expected, the failed rules, the line
CASES = {
    "as expected": (measures(), 1, PANCREAS, [], ""),
    "at the limits": (measures(35.0, (240.0, 22.0, 180.0)), 1, PANCREAS, [], ""),
    "too little": (
        measures(34.9),
        1,
        PANCREAS,
        ["volume"],
        "pancreas 34.9 ml, expected 35 to 320 ml",
    ),
    "too much": (
        measures(321),
        1,
        PANCREAS,
        ["volume"],
        "pancreas 321.0 ml, expected 35 to 320 ml",
    ),
    "a speck": (
        measures(0.004),
        1,
        PANCREAS,
        ["volume"],
        "pancreas 0.004 ml, expected 35 to 320 ml",
    ),
    "too little in pieces, and so too short": (
        measures(0.7, (12.0, 9.0, 8.0)),
        3,
        PANCREAS,
        ["volume", "pieces", "extent"],
        "pancreas 0.7 ml in 3 pieces, expected 35 to 320 ml",
    ),
    "in pieces": (measures(), 2, PANCREAS, ["pieces"], "pancreas in 2 pieces, expected 1"),
    "as many pieces as it has": (measures(), 2, Expected(pieces=2), [], ""),
    "pieces of which nothing is known": (measures(), 9, Expected(), [], ""),
    "too wide": (
        measures(extent=(241.0, 60.0, 80.0)),
        1,
        PANCREAS,
        ["extent"],
        "pancreas 241 mm from left to right, expected 55 to 240 mm",
    ),
    "too flat and too low": (
        measures(extent=(120.0, 21.0, 41.0)),
        1,
        PANCREAS,
        ["extent"],
        "pancreas 21 mm from back to front, expected 22 to 113 mm; "
        "41 mm from foot to head, expected 42 to 180 mm",
    ),
    "cut off": (
        measures(faces=("last slice",)),
        1,
        PANCREAS,
        ["faces"],
        "pancreas touches the last slice (a part may lie outside the scan)",
    ),
    "cut off twice": (
        measures(faces=("first slice", "left edge")),
        1,
        PANCREAS,
        ["faces"],
        "pancreas touches the first slice and the left edge (a part may lie outside the scan)",
    ),
    "cut off, of which nothing is known": (
        measures(faces=("last slice",)),
        1,
        None,
        ["faces"],
        "pancreas touches the last slice (a part may lie outside the scan)",
    ),
    "not expected inside": (measures(faces=("last slice",)), 1, Expected(inside=False), [], ""),
    "little and cut off": (
        measures(18.12, faces=("last slice",)),
        1,
        PANCREAS,
        ["volume", "faces"],
        "pancreas 18.1 ml, expected 35 to 320 ml; "
        "touches the last slice (a part may lie outside the scan)",
    ),
    "nothing": (
        None,
        0,
        PANCREAS,
        ["nothing found"],
        "pancreas not found, expected 35 to 320 ml",
    ),
    "nothing, which may be": (None, 0, Expected((0.0, 9.0)), [], ""),
    "nothing, of which nothing is known": (None, 0, None, [], ""),
}


@pytest.mark.parametrize(
    ("measured", "pieces", "expected", "rules", "line"), CASES.values(), ids=CASES.keys()
)
def test_case(measured, pieces, expected, rules, line):
    failed = failed_checks(
        {1: measured} if measured else {},
        {1: expected} if expected else {},
        {1: Pieces(pieces, pieces)} if pieces else {},
    )
    assert [one.rule for one in failed] == rules
    assert check_words(failed, NAMES) == line


def test_a_record_has_what_was_measured_and_what_was_expected():
    (failed,) = failed_checks({1: measures(0.70004)}, {1: PANCREAS}, {})
    assert failed == FailedCheck(1, "volume", 0.7, (35.0, 320.0))


def test_every_label_has_its_words():
    failed = failed_checks(
        {2: measures(9.0), 3: measures(faces=("last slice",))},
        {1: PANCREAS, 2: Expected((1.0, 5.0))},
        {},
    )
    assert check_words(failed, NAMES) == (
        "pancreas not found, expected 35 to 320 ml; cyst 9.0 ml, expected 1 to 5 ml; "
        "label 3 touches the last slice (a part may lie outside the scan)"
    )


# --- in a bundle's config


def test_what_is_written_is_read():
    content = json.loads(
        json.dumps({"1": PANCREAS.content(), "2": Expected(inside=False).content()})
    )
    assert read_expected(content, 3) == {1: PANCREAS, 2: Expected(inside=False)}
    assert read_expected({}, 2) == {}


WRONG = {
    "no class": {"2": {}},
    "the background": {"0": {}},
    "a name": {"pancreas": {}},
    "a list": [1],
    "no section": {"1": 35},
    "an unknown key": {"1": {"volume": [1, 2]}},
    "low above high": {"1": {"volume_ml": [2, 1]}},
    "one limit": {"1": {"volume_ml": [2]}},
    "a text": {"1": {"volume_ml": ["a", "b"]}},
    "NaN": {"1": {"volume_ml": [float("nan"), 3]}},
    "two axes": {"1": {"extent_mm": [[1, 2], [1, 2]]}},
    "no piece": {"1": {"pieces": 0}},
    "inside a number": {"1": {"inside": 1}},
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_refused_in_one_line(content):
    with pytest.raises(
        ValueError, match=r"^invalid value of expected .*for classes from 1 to 1,.*Correct it\.$"
    ):
        read_expected(content, 2)


# --- intensity


@pytest.mark.parametrize(
    ("median", "line"),
    [
        (45.0, ""),
        (129.0, ""),
        (38.2, "pancreas median 38 HU, expected 45 to 129 HU (another contrast phase?)"),
        (131.0, "pancreas median 131 HU, expected 45 to 129 HU (another contrast phase?)"),
        (None, ""),
    ],
)
def test_an_intensity_outside_the_range_of_the_training_cases_is_said(median, line):
    wanted = Expected(intensity_hu=(45.0, 129.0))
    seen = {} if median is None else {1: Intensity(median)}
    assert check_words(failed_checks({1: measures()}, {1: wanted}, {}, seen), NAMES) == line


@pytest.mark.parametrize(
    ("median", "tissue", "line"),
    [
        (88.0, 114.0, ""),
        (88.0, None, ""),
        (88.0, 60.4, "in soft tissue of 60 HU, expected 71 to 157 HU (another contrast phase?)"),
        (
            38.2,
            60.4,
            "median 38 HU, expected 45 to 129 HU and in soft tissue of 60 HU, expected 71 to 157 HU "
            "(another contrast phase?)",
        ),
    ],
)
def test_a_scan_unlike_the_training_cases_is_said_wherever_its_label_lies(median, tissue, line):
    wanted = Expected(intensity_hu=(45.0, 129.0), tissue_hu=(71.0, 157.0))
    failed = failed_checks({1: measures()}, {1: wanted}, {}, {1: Intensity(median, tissue)})
    assert check_words(failed, NAMES) == (line and f"pancreas {line}")


def test_an_expected_intensity_may_be_below_zero():
    assert read_expected({"1": {"tissue_hu": [-20, 60]}}, 2)[1].tissue_hu == (-20, 60)
    assert read_expected({"1": {"intensity_hu": [-120, -60]}}, 2)[1].intensity_hu == (-120, -60)
