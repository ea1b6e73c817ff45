"""Scores of two label maps, computed by hand and compared with other programs."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from monai_attn.metrics.label_scores import score_labels
from scans import one_line
from tests.metrics.label_blocks import SHAPE, block, random_labels

# prediction, reference, dice, precision, recall
OVERLAPS = {
    "equal": (block(1, 3), block(1, 3), 1, 1, 1),
    "shifted by one voxel": (block(2, 4), block(1, 3), 0.5, 0.5, 0.5),
    "twice too large": (block(1, 5), block(1, 3), 2 / 3, 0.5, 1),
    "half missed": (block(1, 3), block(1, 5), 2 / 3, 1, 0.5),
    "apart": (block(0, 2), block(3, 5), 0, 0, 0),
    "both empty": (block(0, 0), block(0, 0), None, None, None),
    "prediction empty": (block(0, 0), block(1, 3), 0, 0, 0),
    "reference empty": (block(1, 3), block(0, 0), None, None, None),
}


@pytest.mark.parametrize("row", OVERLAPS.values(), ids=OVERLAPS.keys())
def test_overlaps_computed_by_hand(row):
    prediction, reference, *expected = row
    (score,) = score_labels(prediction, reference, (1, 1, 1), labels=[1])
    for value, by_hand in zip((score.dice, score.precision, score.recall), expected, strict=True):
        assert value == (None if by_hand is None else pytest.approx(by_hand))


def test_volumes_are_in_millilitres():
    (score,) = score_labels(block(1, 3), block(1, 2), (2, 1, 5), case="a")
    assert (score.case, score.label) == ("a", 1)
    assert score.predicted_ml == pytest.approx(0.4)  # 40 voxels of 10 mm^3
    assert score.reference_ml == pytest.approx(0.2)
    assert score.volume_error_ml == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("labels", "scored"),
    [(None, [1, 2, 3]), ([2], [2]), ([3, 1, 3], [1, 3]), ([7, 300], [7, 300]), ([], [])],
)
def test_labels_to_score(labels, scored):
    prediction = np.where(block(0, 2) > 0, 1, block(4, 6, label=3)).astype(np.uint8)
    scores = score_labels(prediction, block(2, 4, label=2), (1, 1, 1), labels=labels)
    assert [score.label for score in scores] == scored


def test_background_alone_has_no_label_to_score():
    assert score_labels(block(0, 0), -block(1, 2).astype(np.int8), (1, 1, 1)) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, bool])
def test_any_integer_type(dtype):
    (score,) = score_labels(block(2, 4).astype(dtype), block(1, 3).astype(np.int64), (1, 1, 1))
    assert score.dice == 0.5


# prediction, reference, MSD, HD95, NSD
DISTANCES = {
    "equal": (block(1, 3), block(1, 3), 0, 0, 1),
    "one voxel apart": (block(4, 5), block(3, 4), 3, 3, 0),
    "both empty": (block(0, 0), block(0, 0), None, None, None),
    "prediction empty": (block(0, 0), block(1, 3), None, None, 0),
    "reference empty": (block(1, 3), block(0, 0), None, None, None),
    "the other label between": (
        block(0, 1) + block(2, 4, label=2),
        block(5, 6) + block(2, 4, label=2),
        15,
        15,
        0,
    ),
}


@pytest.mark.parametrize("row", DISTANCES.values(), ids=DISTANCES.keys())
def test_distances_are_in_millimetres(row):
    prediction, reference, *expected = row
    (score,) = score_labels(prediction, reference, (3, 1, 1), labels=[1])
    assert [score.surface_distance_mm, score.hd95_mm, score.nsd_2mm] == expected


def test_what_lies_around_the_labels_changes_nothing():
    prediction, reference = random_labels(0), random_labels(1)
    wide = [np.pad(labels, ((3, 9), (0, 5), (2, 0))) for labels in (prediction, reference)]
    assert score_labels(*wide, (3, 1, 2)) == score_labels(prediction, reference, (3, 1, 2))


@pytest.mark.parametrize("seed", range(3))
def test_dice_equals_monai(seed):
    prediction, reference = random_labels(seed), random_labels(seed + 100)
    scores = score_labels(prediction, reference, (1, 1, 1))
    expected = compute_dice(
        torch.from_numpy(prediction)[None, None],
        torch.from_numpy(reference)[None, None],
        include_background=False,
        num_classes=4,
    )
    assert [score.dice for score in scores] == pytest.approx(expected[0].tolist())


def test_exchanging_the_maps_exchanges_precision_and_recall():
    there = score_labels(random_labels(0), random_labels(1), (1, 2, 3))
    back = score_labels(random_labels(1), random_labels(0), (1, 2, 3))
    assert [(s.dice, s.precision, s.predicted_ml) for s in there] == [
        (s.dice, s.recall, s.reference_ml) for s in back
    ]


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_flipping_both_maps_changes_nothing(axes):
    prediction, reference = random_labels(0), random_labels(1)
    flipped = score_labels(np.flip(prediction, axes), np.flip(reference, axes), (1, 2, 3))
    assert flipped == score_labels(prediction, reference, (1, 2, 3))


# keyword arguments that break a rule, the message
BAD_ARRAYS = {
    "2D": (
        {"prediction": np.zeros((4, 4), int), "reference": np.zeros((4, 4), int)},
        "prediction (4, 4) and reference (4, 4): shapes do not match (expected one shape (X, Y, Z))",
    ),
    "shapes": (
        {"prediction": np.zeros((6, 5, 3), int)},
        "prediction (6, 5, 3) and reference (6, 5, 4): shapes do not match",
    ),
    "probabilities": (
        {"prediction": np.zeros(SHAPE)},
        "prediction: no labels (got float64, expected integers)",
    ),
    "two spacings": ({"spacing": (1, 1)}, "spacing (=(1, 1)) must be three voxel sizes above 0 mm"),
    "no spacing": ({"spacing": (1, 0, 1)}, "spacing (=(1, 0, 1)) must be three"),
    "NaN spacing": ({"spacing": (1, np.nan, 1)}, "spacing (=(1, nan, 1)) must be three"),
    "background": ({"labels": [1, 0]}, "labels: a label that cannot be scored (got 0,"),
    "half a label": ({"labels": [1.5]}, "labels: a label that cannot be scored (got 1.5,"),
}


@pytest.mark.parametrize("row", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_arrays_that_cannot_be_scored(row):
    changed, message = row
    arguments = {"prediction": block(1, 2), "reference": block(1, 2), "spacing": (1, 1, 1)}
    arguments |= changed
    with pytest.raises(ValueError, match=r".") as raised:
        score_labels(
            arguments.pop("prediction"),
            arguments.pop("reference"),
            arguments.pop("spacing"),
            **arguments,
        )
    assert message in one_line(raised)
