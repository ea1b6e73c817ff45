"""Scores of references that are known in a part of the voxels."""

import numpy as np
import pytest

from monai_attn.metrics.evaluation import evaluate_files
from monai_attn.metrics.label_scores import score_labels
from scans import fails
from tests.metrics.label_blocks import SHAPE, block, random_labels, save_labels


def sparse(labels, value=9):
    """Every other slice is known."""
    labels = labels.copy()
    labels[:, :, 1::2] = value
    return labels


@pytest.mark.parametrize("elsewhere", [0, 1, 3, 9])
def test_scores_are_those_of_the_known_voxels_whatever_is_said_of_others(elsewhere):
    prediction, reference = random_labels(0), random_labels(1)
    cut = score_labels(prediction[:, :, ::2], reference[:, :, ::2], (1, 2, 3))
    prediction[:, :, 1::2] = elsewhere
    found = score_labels(prediction, sparse(reference), (1, 2, 3), ignore=9)
    for score, expected in zip(found, cut, strict=True):
        surfaces = (score.surface_distance_mm, score.hd95_mm, score.nsd_2mm)
        assert surfaces == (None, None, None)
        for name in ("label", "dice", "precision", "recall", "reference_ml", "predicted_ml"):
            assert getattr(score, name) == pytest.approx(getattr(expected, name)), name


def test_a_reference_without_an_ignored_voxel_is_scored_as_ever():
    prediction, reference = random_labels(0), random_labels(1)
    plain = score_labels(prediction, reference, (1, 2, 3))
    assert score_labels(prediction, reference, (1, 2, 3), ignore=9) == plain


def test_an_ignore_value_that_cannot_be_is_refused():
    labels = block(1, 3)
    fails(
        "ignore (=1) is also class 1", score_labels, *[labels] * 2, (1, 1, 1), labels=[1], ignore=1
    )
    nothing = np.full(SHAPE, 9)
    fails("reference: every voxel has the ig", score_labels, labels, nothing, (1, 1, 1), ignore=9)


@pytest.fixture
def sparse_files(tmp_path):
    """Two cases; of a, which alone is partly known, the last slices hold another organ."""
    labels = sparse(block(1, 3))
    labels[4:, :, 0] = 7
    for name, reference in (("a", labels), ("b", block(1, 3))):
        save_labels(tmp_path / "out" / f"{name}_seg.nii.gz", block(1, 3))
        save_labels(tmp_path / "labels" / f"{name}.nii.gz", reference)
    return tmp_path / "out", tmp_path / "labels"


def test_files_are_scored_where_they_are_known(sparse_files):
    scores = {(s.case, s.label): s for s in evaluate_files(*sparse_files, ignore=9)}
    assert scores.keys() == {("a", 1), ("a", 7), ("b", 1), ("b", 7)}
    assert [scores[case, 1].nsd_2mm for case in "ab"] == [None, 1]
    assert scores["a", 1].dice == 1
    assert scores["a", 1].reference_ml == pytest.approx(scores["b", 1].reference_ml / 2)


def test_a_label_that_a_partly_known_case_lacks_has_no_surface_there(sparse_files):
    save_labels(sparse_files[1] / "b.nii.gz", block(1, 3) + block(4, 6, 2))
    scores = {(s.case, s.label): s for s in evaluate_files(*sparse_files, ignore=9)}
    assert (scores["a", 2].dice, scores["a", 2].hd95_mm, scores["a", 2].reference_ml) == (
        None,
        None,
        0,
    )


def test_an_ignore_value_goes_with_values_that_stand_for_other_labels(sparse_files):
    scores = evaluate_files(*sparse_files, classes={1: 1}, ignore=9)
    assert [(s.case, s.label, s.dice) for s in scores] == [("a", 1, 1), ("b", 1, 1)]
    fails("ignore (=9) is also", evaluate_files, *sparse_files, classes={9: 1}, ignore=9)


def test_a_reference_without_a_known_voxel_is_named(sparse_files):
    path = save_labels(sparse_files[1] / "a.nii.gz", np.full(SHAPE, 9, np.uint8))
    fails(f"{path}: every voxel has the ignore value 9", evaluate_files, *sparse_files, ignore=9)
