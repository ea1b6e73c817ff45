"""Expectations of a bundle's labels, from the label maps that it was trained with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from monai_attn.datasets.checked_cases import READERS
from monai_attn.datasets.datalist import Case
from monai_attn.datasets.label_classes import in_classes
from monai_attn.datasets.regions import Regions
from monai_attn.inference.label_measures import LabelMeasures, measure_labels
from monai_attn.inference.result_checks import Expected
from monai_attn.io.labels import labels_of
from monai_attn.io.scan import read_volume

# Margins around values of the training cases: half and twice the volumes, half and one and a half times
# the extents.
LEAST, MOST_VOLUME, MOST_EXTENT = 0.5, 2.0, 1.5


def measure_cases(
    cases: Sequence[Case],
    classes: Mapping[int, int],
    *,
    ignore: int | None = None,
    regions: Regions | None = None,
    on_case: Callable[[Case], None] = lambda case: None,
) -> list[dict[int, LabelMeasures]]:
    """Measure the classes of each case's label map; images are not read.

    A case with ignored voxels is left out: how much of a class they hide is not known.

    Args:
        cases: cases in which `check_cases` found no fault.
        classes: the class of each value in a label file.
        ignore: value of voxels that count nowhere.
        regions: the regions, which are measured with all that is within them; None for classes.
        on_case: called after each case, in order.
    """

    def measure(case: Case) -> dict[int, LabelMeasures] | None:
        volume = read_volume(case["label"], fill=None)
        values = labels_of(volume)
        if ignore is not None and (values == ignore).any():
            return None
        return measure_labels(in_classes(values, classes), volume.affine, regions=regions)

    measures = []
    with ThreadPoolExecutor(READERS) as pool:
        for case, case_measures in zip(cases, pool.map(measure, cases), strict=True):
            if case_measures is not None:
                measures.append(case_measures)
            on_case(case)
    return measures


def check_whole(settings: Iterable[str]) -> None:
    """Refuse a part of `expected` among the ids of a training's settings: the training derives the whole.

    Raises:
        ValueError: if there is one; it names the setting.
    """
    for name in settings:
        if name.startswith("expected#"):
            raise ValueError(
                f"{name}: the training derives the other values of expected. Set expected as a whole, or "
                "edit configs/inference.json afterwards."
            )


def expected_labels(
    measures: Collection[Mapping[int, LabelMeasures]], labels: Iterable[int]
) -> dict[int, Expected]:
    """Return the expectations of further cases: the range of the measures, with margins.

    A label that a case lacks may be missing. One that touches a face in half of the cases, such as a spine,
    is not expected to lie inside; for any other, the cases that cut it off do not count.

    Args:
        measures: of each case, by label.
        labels: those of the bundle; one that no case holds has no entry.
    """
    expected = {}
    for label in labels:
        present = [case[label] for case in measures if label in case]
        if not present:
            continue
        whole = [one for one in present if not one.faces]
        inside = 2 * len(whole) > len(present)
        counted = whole if inside else present
        volumes = [one.volume_ml for one in counted]
        edges = [*zip(*(one.extent_mm for one in counted), strict=True)]
        least = LEAST if len(present) == len(measures) else 0.0
        expected[label] = Expected(
            (round(least * min(volumes), 3), round(MOST_VOLUME * max(volumes), 3)),
            tuple((round(LEAST * min(e), 1), round(MOST_EXTENT * max(e), 1)) for e in edges),
            max(one.pieces.sizeable for one in counted),
            inside,
        )
    return expected
