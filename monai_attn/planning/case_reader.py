"""Facts of labelled cases, read one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monai_attn.datasets.datalist import Case
from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.io.errors import collect_warnings
from monai_attn.io.labels import labels_of
from monai_attn.io.reorder import reordered
from monai_attn.io.scan import read_volume
from monai_attn.planning.fingerprint import CaseFacts, case_facts


def read_cases(
    cases: Sequence[Case], classes: LabelClasses, ignore: int | None = None
) -> Iterator[CaseFacts]:
    """Read each case, and yield its facts.

    Args:
        cases: cases without faults by `check_cases`. It has reported doubts about them, which are not
            reported again.
        classes: the classes to segment; the HU of other labels are not sampled.
        ignore: value of voxels that are not measured, if there is one.

    Raises:
        ValueError: if a file can no longer be read.
    """
    values = [value for value, number in classes.label_map.items() if number]
    for seed, case in enumerate(cases):
        with collect_warnings():
            image, label = read_volume(case["image"]), read_volume(case["label"], fill=None)
        labels = labels_of(reordered(label, image))
        if ignore is not None:
            labels[labels == ignore] = 0
        yield case_facts(image.data, labels, image.affine, values=values, seed=seed)
