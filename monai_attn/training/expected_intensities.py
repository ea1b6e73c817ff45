"""Expected intensities of a bundle's labels, from the training cases in the cache of its training."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from monai.bundle import ConfigParser
from scipy.stats import t

from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.regions import Regions, read_regions
from monai_attn.inference.label_intensity import ct_in, label_intensities
from monai_attn.inference.result_checks import Intensity, Range
from monai_attn.training.case_cache import CachedCases
from monai_attn.training.config_files import read_config, write_config
from monai_attn.training.run_folder import RUN, SETTABLE

FEWEST = 3  # cases; of fewer the interval would hold any scan
LEAST = 10.0  # HU on either side: scanners differ as much
RATE = 0.01  # of further cases that lie outside by chance


def add_expected_intensities(run: Path) -> None:
    """Add the intensities of the training cases to what the bundle of a training expects of its labels.

    Nothing is added if the cache or a file is gone, for images without a CT channel, and if the training's
    settings say what to expect. A case that no epoch has drawn is read now. Values in the configs stay.

    Args:
        run: the folder of a training that has ended, whose cache still exists.
    """
    train = read_config(run / "configs" / "train.json")
    settings = read_config(run / RUN)["settings"]
    if "expected" in settings:
        return
    parser = ConfigParser({**train, "bundle_root": str(run)})
    cases = parser.get_parsed_content("train#dataset")
    try:
        entries = [cases.entry(index) for index in range(len(cases))]
    except ValueError:  # a training that ended long ago can be scored without its training cases
        return
    if not any(entry.is_file() for entry in entries):
        return
    regions = read_regions(train.get("regions"))
    ranges = expected_ranges(measure_intensities(cases, regions))
    for name in SETTABLE:
        path = run / "configs" / name
        config = read_config(path) if path.is_file() else {}
        if "expected" in config:
            for label, values in ranges.items():
                earlier = config["expected"].get(str(label), {})
                config["expected"][str(label)] = {**values, **earlier}
            write_config(path, config)


def measure_intensities(
    cases: CachedCases, regions: Regions | None = None
) -> list[dict[int, Intensity]]:
    """Measure the labels of each case in its CT, on the network's grid; nothing without a CT channel.

    Args:
        cases: labelled cases.
        regions: as for `label_intensities`.
    """
    found = []
    for index in range(len(cases)):
        case = cases.steady(index)
        ct = ct_in(case["image"], cases.transform.transforms)
        if ct is None:
            return []
        labels = case["label"][0].numpy().copy()
        labels[labels == IGNORED] = 0
        grid = np.eye(4)  # one for both
        found.append(label_intensities(labels, grid, ct[0], grid, ct[1], regions))
    return found


def expected_ranges(
    measured: Iterable[Mapping[int, Intensity]],
) -> dict[int, dict[str, Range]]:
    """Return `intensity_hu` and `tissue_hu` of `Expected` for each label that enough cases have.

    Each is the prediction interval of the cases, or `LEAST` on either side of their mean if that is wider.
    """
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case in measured:
        for label, one in case.items():
            values[label]["intensity_hu"].append(one.median)
            values[label]["tissue_hu"] += [] if one.tissue is None else [one.tissue]
    found: dict[int, dict[str, Range]] = defaultdict(dict)
    for label, named in values.items():
        for name, hus in named.items():
            if len(hus) >= FEWEST:
                low, high = prediction_interval(hus)
                mean, reach = (low + high) / 2, max((high - low) / 2, LEAST)
                found[label][name] = round(mean - reach, 1), round(mean + reach, 1)
    return dict(found)


def prediction_interval(values: Sequence[float], rate: float = RATE) -> Range:
    """Return the interval that misses a further value with a probability of `rate`, if it is normal.

    Mean and standard deviation are estimated from the values, so the interval is wider the fewer they are
    (Hahn, J. Am. Stat. Assoc. 64, 878-888, 1969).

    Args:
        values: two or more.
        rate: above 0 and below 1.

    Example:
        >>> [round(end, 1) for end in prediction_interval([100.0, 110.0, 90.0, 105.0])]
        [45.5, 157.0]
    """
    n, mean = len(values), fmean(values)
    reach = t.ppf(1 - rate / 2, n - 1) * stdev(values) * math.sqrt(1 + 1 / n)
    return mean - float(reach), mean + float(reach)
