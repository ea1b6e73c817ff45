"""Facts of labelled cases, read one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from monai_attn.datasets.datalist import Case
from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.io.channels import open_image
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
        classes: the classes to segment; the values of other labels are not sampled.
        ignore: value of voxels that are not measured, if there is one.

    Raises:
        ValueError: if a file can no longer be read.
    """
    values = [value for value, number in classes.label_map.items() if number]
    for seed, case in enumerate(cases):
        with collect_warnings():
            scan, label = open_image(case["image"]), read_volume(case["label"], fill=None)
            volumes = [channel.read() for channel in scan.channels]
        image = np.stack([volume.data for volume in volumes]) if volumes[1:] else volumes[0].data
        labels = labels_of(reordered(label, volumes[0]))
        if ignore is not None:
            labels[labels == ignore] = 0
        yield case_facts(image, labels, volumes[0].affine, values=values, seed=seed)
