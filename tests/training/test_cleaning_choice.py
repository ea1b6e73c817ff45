"""Cleaning is chosen class by class, and only where it helps."""

import json

import numpy as np
import pytest

from monai_attn.datasets.ignore import IGNORED
from monai_attn.training.cleaning_choice import (
    CleaningTrial,
    choose_cleaning,
    set_cleaning,
    trials_of,
)


def block(label=1):
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:6, 1:6, 1:6] = label
    return labels


def test_a_speck_far_away_is_for_the_largest_component():
    labels = block()
    labels[8, 8, 8] = 1
    (trial,) = trials_of(labels, block(), [1], case="a")
    assert trial.as_it_is == pytest.approx(2 * 125 / (125 + 126))
    assert (trial.case, trial.label, trial.keep_largest, trial.both) == ("a", 1, 1, 1)
    assert trial.fill_holes == trial.as_it_is
    (choice,) = choose_cleaning([trial])
    assert choice.chosen == ("keep_largest",)


def test_a_cavity_is_for_the_filling_of_holes():
    labels = block()
    labels[3, 3, 3] = 0
    (choice,) = choose_cleaning(trials_of(labels, block(), [1]))
    assert choice.chosen == ("fill_holes",)
    (hollow,) = choose_cleaning(trials_of(block(), labels, [1]))
    assert hollow.chosen == ()


def test_only_a_rise_of_the_mean_counts():
    def trial(case, before, after):
        return CleaningTrial(case, 1, before, after, before, after)

    cases = [trial("a", 0.5, 0.6), trial("b", 0.9, 0.7)]
    assert choose_cleaning(cases)[0].chosen == ()
    better = choose_cleaning([*cases, trial("c", 0.2, 0.4)])[0]
    assert (better.chosen, better.cases) == (("keep_largest",), 3)
    assert better.dice["keep_largest"] == pytest.approx((0.6 + 0.7 + 0.4) / 3)
    assert choose_cleaning([trial("a", 0.5, 0.5)])[0].chosen == ()


def test_each_class_has_its_own_choice():
    labels, reference = block(), block()
    labels[8, 8, 8] = 1
    labels[7:9, :2, :2] = reference[7:9, :2, :2] = 2
    labels[0, 8, 8] = reference[0, 8, 8] = 2
    chosen = {c.label: c.chosen for c in choose_cleaning(trials_of(labels, reference, [1, 2]))}
    assert chosen == {1: ("keep_largest",), 2: ()}


def test_ignored_voxels_and_classes_in_neither_map_count_nowhere():
    labels, reference = block(), block()
    labels[8, 8, 8], reference[8, 8, 8] = 1, IGNORED
    (trial,) = trials_of(labels, reference, [1, 2])
    assert (trial.label, trial.as_it_is) == (1, 1)


def test_label_maps_are_left_as_they_are():
    labels = block()
    labels[8, 8, 8] = 1
    trials_of(labels, block(), [1])
    assert labels[8, 8, 8] == 1


def test_a_choice_is_written_into_the_configs(tmp_path):
    path = tmp_path / "configs" / "inference.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"keep_largest": [1, 3], "fill_holes": [1], "other": 1}))
    labels, reference = block(2), block(2)
    labels[8, 8, 8] = 2
    labels[8, :2, 0] = reference[8, :2, 0] = 1
    labels[0, 8, 8] = reference[0, 8, 8] = 1
    choices = choose_cleaning(trials_of(labels, reference, [1, 2]))
    scores = tmp_path / "eval" / "scores.json"
    scores.parent.mkdir()
    scores.write_text("{}")
    assert set_cleaning(tmp_path, choices, fixed=["fill_holes"])
    assert not scores.exists(), "they are of the cleaning before"
    assert json.loads(path.read_text()) == {"keep_largest": [2, 3], "fill_holes": [1], "other": 1}
    scores.write_text("{}")
    assert not set_cleaning(tmp_path, choices, fixed=["fill_holes"]), "as it was"
    assert scores.exists()
    assert set_cleaning(tmp_path, choices)
    assert json.loads(path.read_text())["fill_holes"] == []
