"""What training cases say of the labels of further cases."""

import numpy as np
import pytest

from monai_attn.inference.label_measures import LabelMeasures, Pieces
from monai_attn.inference.result_checks import Expected
from monai_attn.training.expected_labels import expected_labels, measure_cases
from scans import save


def measured(volume, extent=(10.0, 20.0, 30.0), faces=(), pieces=1):
    return LabelMeasures(volume, extent, Pieces(pieces + 1, pieces), faces)


TALL = ((5.0, 15.0), (10.0, 30.0), (15.0, 45.0))
CUT = ("last slice",)
CASES = {
    "half and twice": (
        [{1: measured(50.0)}, {1: measured(90.0)}],
        Expected((25.0, 180.0), TALL, 1),
    ),
    "extents too": (
        [{1: measured(50.0)}, {1: measured(50.0, (12.0, 16.0, 30.0))}],
        Expected((25.0, 100.0), ((5.0, 18.0), (8.0, 30.0), (15.0, 45.0)), 1),
    ),
    "in one case it is missing": ([{1: measured(50.0)}, {}], Expected((0.0, 100.0), TALL, 1)),
    "pieces are as many as there were": (
        [{1: measured(50.0)}, {1: measured(50.0, pieces=2)}],
        Expected((25.0, 100.0), TALL, 2),
    ),
    "what is cut off does not count": (
        [{1: measured(50.0)}, {1: measured(60.0)}, {1: measured(1.0, faces=CUT)}],
        Expected((25.0, 120.0), TALL, 1),
    ),
    "unless it mostly is": (
        [{1: measured(50.0)}, {1: measured(40.0, faces=CUT)}],
        Expected((20.0, 100.0), TALL, 1, inside=False),
    ),
}


@pytest.mark.parametrize(("measures", "expected"), CASES.values(), ids=CASES.keys())
def test_case(measures, expected):
    assert expected_labels(measures, [1, 2]) == {1: expected}


def test_values_that_are_one_class_are_measured_as_one(tmp_path):
    """A tumour between two parts of an organ: together they are one piece."""
    labels = np.zeros((9, 5, 5), np.uint8)
    labels[1:3, 2, 2], labels[3:5, 2, 2], labels[5:8, 2, 2] = 1, 2, 1
    labels[1, 4, 4] = 7
    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    case = {"image": "not read", "label": str(save(tmp_path / "a.nii.gz", labels, affine))}
    told = []
    (found,) = measure_cases([case], {0: 0, 1: 1, 2: 1, 7: 0}, on_case=told.append)
    assert found == {1: LabelMeasures(pytest.approx(7.0), (70.0, 10.0, 10.0), Pieces(1, 1), ())}
    assert told == [case]


def test_a_case_with_ignored_voxels_is_not_measured(tmp_path):
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1:3, 1, 1], labels[..., 3] = 1, 9
    case = {"image": "not read", "label": str(save(tmp_path / "a.nii.gz", labels))}
    assert measure_cases([case], {0: 0, 1: 1}, ignore=9) == []
    assert len(measure_cases([case], {0: 0, 1: 1, 9: 0})) == 1
