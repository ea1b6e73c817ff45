"""Intensities that the shipped bundles expect, and how often the same patients would be flagged.

    python -m tests.benchmarks.intensities WORK

WORK is the folder in which `tests.benchmarks.real_ct` has prepared the patients. Each patient counts once;
neither phantoms nor the chest count. The rate of false alarms is that of leaving one out: each patient is
compared with the range of the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.inference.label_measures import LabelMeasures, Pieces
from monai_attn.inference.result_checks import Expected, Intensity, failed_checks
from monai_attn.training.case_cache import CachedCases
from monai_attn.training.config_files import read_config
from monai_attn.training.expected_intensities import expected_ranges, measure_intensities
from monai_attn.transforms import pipelines
from tests.benchmarks.patients_data import patients
from tests.benchmarks.real_ct import IGNORE

SOME = LabelMeasures(1.0, (1.0, 1.0, 1.0), Pieces(1, 1), ())


def false_alarms(measured: list[dict[int, Intensity]]) -> dict[str, int]:
    """Count the cases outside the ranges of the others, by the check that fails; "any" for either."""
    found = {"intensity": 0, "tissue": 0, "any": 0}
    for index, one in enumerate(measured):
        ranges = expected_ranges(measured[:index] + measured[index + 1 :])
        rules = {
            failed.rule for failed in failed_checks({1: SOME}, {1: Expected(**ranges[1])}, {}, one)
        }
        for rule in [*rules, *(["any"] if rules else [])]:
            found[rule] += 1
    return found


def main() -> None:
    """Measure the patients and print the ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder that real_ct has prepared")
    work = parser.parse_args().work
    config = read_config(find_bundle(DEFAULT_BUNDLE) / "configs" / "inference.json")
    transform = pipelines.validation(
        config["spacing"], config["intensity_range"], label_map={"0": 0, "1": 1}, ignore=IGNORE
    )
    cases = [volumes[1] for _, volumes in patients(work).values()]  # the middle one of three
    measured = measure_intensities(CachedCases(cases, transform, work / "cache"))
    for name, one in (("intensity_hu", "median"), ("tissue_hu", "tissue")):
        values = sorted(getattr(case[1], one) for case in measured)
        print(f"{name}: {values[0]:.0f} to {values[-1]:.0f} HU in {len(values)} patients")
    print(expected_ranges(measured)[1])
    print("false alarms:", false_alarms(measured))


if __name__ == "__main__":
    main()
