"""Fingerprints of data sets of several kinds, whose cases are all alike."""

from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.planning.fingerprint import Fingerprint


def data(size=(200, 200, 200), spacing=(2.0, 2.0, 2.0), box=(150.0, 90.0, 90.0), cases=20):
    """The fingerprint of cases that are all alike."""
    return Fingerprint(
        sizes=(size,) * cases,
        spacings=(spacing,) * cases,
        hu={0.5: -80.0, 5.0: -20.0, 50.0: 80.0, 95.0: 140.0, 99.5: 180.0},
        volumes_ml={"pancreas": (80.0,) * cases},
        extents_mm={"pancreas": (box,) * cases},
        classes=LabelClasses(("background", "pancreas"), {0: 0, 1: 1}),
    )


DATA = {
    "cubes": data(),
    "thick slices": data((512, 512, 60), (0.8, 0.8, 5.0)),
    "few slices": data((320, 320, 12), (0.7, 0.7, 8.0), (100.0, 80.0, 60.0)),
    "whole bodies": data((512, 512, 1000), (1.0, 1.0, 2.0), (400.0, 300.0, 1800.0)),
    "one thick axis, the first": data((40, 300, 300), (6.0, 1.0, 1.0)),
    "small": data((24, 20, 16), (7.0, 7.0, 7.0), (60.0, 50.0, 40.0)),
}
