"""Names of cases from the headers of their series."""

import pytest

from dicom_series import SERIES, other
from monai_attn.datasets.series_names import check_pattern, name_series, pseudonym
from scans import fails


def test_a_pseudonym_keeps_patients_and_studies_apart():
    names = [
        pseudonym(one) for one in (SERIES, other(patient="Q"), other(study="2"), other(number=6))
    ]
    assert len({*names}) == len(names)
    assert names[0] == pseudonym(other(description="x"))
    assert names[0][:15] == names[2][:15] == names[3][:15]
    assert names[0].endswith("_series-5")
    assert pseudonym(other(number=None)).endswith("_series-1.s2")


# pattern, name
PATTERNS = [
    ("{patient}_{description}", "DOE-JANE_portal-2.5-mm"),
    ("{date}-{number}", "20260101-5"),
    ("ct_{pseudonym}", f"ct_{pseudonym(other(patient='DOE^JANE '))}"),
]


@pytest.mark.parametrize(("pattern", "name"), PATTERNS)
def test_a_pattern(pattern, name):
    check_pattern(pattern)
    one = other(patient="DOE^JANE ", description="portal / 2.5 mm")
    assert name_series(one, pattern) == name


def test_what_is_missing_is_unknown():
    assert (
        name_series(other(number=None, description="//"), "{number}_{description}")
        == "unknown_unknown"
    )


@pytest.mark.parametrize("pattern", ["", "ct", "{", "{name}", "{0}", "{}", "{patient.x}"])
def test_other_patterns_are_refused(pattern):
    fails("must be made of {patient}, {pseudonym}", check_pattern, pattern)
