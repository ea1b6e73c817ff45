"""The count of false alarms: each patient against the others."""

from monai_attn.inference.result_checks import Intensity
from tests.benchmarks.intensities import false_alarms

ALIKE = [{1: Intensity(90.0 + i % 5, 110.0 + i % 7)} for i in range(30)]


def test_patients_who_are_alike_raise_no_alarm():
    assert false_alarms(ALIKE) == {"intensity": 0, "tissue": 0, "any": 0}


def test_each_patient_counts_once_for_any_check():
    measured = [*ALIKE, {1: Intensity(30.0, 55.0)}, {1: Intensity(90.0, 180.0)}]
    assert false_alarms(measured) == {"intensity": 1, "tissue": 2, "any": 2}
