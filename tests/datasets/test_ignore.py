"""Voxels with the ignore value: which value that is, and what becomes of them."""

import numpy as np
import pytest

from monai_attn.datasets.ignore import IGNORED, check_ignore, find_ignore, mark_ignored
from monai_attn.datasets.label_classes import choose_classes, declared_ignore, declared_labels
from scans import datalist, fails

NNUNET = {"labels": {"background": 0, "pancreas": 1, "ignore": 2}, "file_ending": ".nii.gz"}
DECATHLON = {"labels": {"0": "background", "1": "pancreas", "2": "ignore"}}


# --- which value it is


@pytest.mark.parametrize("content", [NNUNET, DECATHLON], ids=["nnU-Net", "Decathlon"])
def test_a_data_set_declares_its_ignore_value_and_that_is_no_label(tmp_path, content):
    path = datalist(tmp_path, content)
    assert declared_ignore(tmp_path) == declared_ignore(path) == find_ignore(None, path) == 2
    assert declared_labels(path) == {0: "background", 1: "pancreas"}


def test_without_a_declaration_it_is_what_the_user_says(tmp_path):
    assert find_ignore(None, tmp_path) is None
    assert find_ignore(9, tmp_path) == 9
    assert find_ignore(2, datalist(tmp_path, NNUNET)) == 2


def test_an_ignore_value_is_no_choice_of_a_class(tmp_path):
    declared = declared_labels(datalist(tmp_path, NNUNET))
    fails("neither VALUE=NAME nor a declared", choose_classes, ["ignore"], {0, 1}, declared)
    found = {0, 1, 2}
    fails("'2=cyst': 2 is the ignore value", choose_classes, ["2=cyst"], found, declared, 2)
    for chosen in ([], ["pancreas"]):
        classes = choose_classes(chosen, found, declared, 2)
        assert classes.names == ("background", "pancreas")
        check_ignore(2, classes.label_map)


def test_a_value_that_would_be_a_class_by_its_number_can_be_ignored():
    classes = choose_classes(["7=pancreas", "8=cyst"], {0, 2, 7, 8}, {}, 2)
    assert classes.label_map == {0: 0, 1: 0, 2: 0, 7: 1, 8: 2}
    check_ignore(2, classes.label_map)


# what dataset.json declares, what the user says, the fault
BAD_VALUES = {
    "another than declared": (
        NNUNET["labels"],
        3,
        "declares another ignore value (got 3, expected 2)",
    ),
    "a declared label": (
        NNUNET["labels"] | {"cyst": 5},
        5,
        "declares another ignore value (got 5, expected 2)",
    ),
    "a label, none declared": ({"pancreas": 1}, 1, "1 is declared as 'pancreas'"),
    "one value of two names": ({"pancreas": 2, "ignore": 2}, None, "2 is also 'pancreas'"),
    "background": ({"pancreas": 1, "ignore": 0}, None, "0 is also 'background'"),
    "background, by option": ({"pancreas": 1}, 0, "ignore (=0) must be a whole number above 0"),
    "no number": (
        {"ignore": "two"},
        None,
        "'ignore' has an invalid value (got 'two', expected a whole number",
    ),
}


@pytest.mark.parametrize(("labels", "given", "fault"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_an_ignore_value_is_a_value_of_its_own(tmp_path, labels, given, fault):
    path = datalist(tmp_path, NNUNET | {"labels": labels})
    fails(fault, find_ignore, given, path)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_an_ignore_value_is_a_whole_number_above_0(value):
    fails(f"ignore (={value!r}) must be a whole number", check_ignore, value, {})


def test_an_ignore_value_is_no_class():
    check_ignore(None, {0: 0, 1: 1})
    check_ignore(2, {0: 0, 1: 1, 2: 0})  # one that would become background is free
    classes = {0: 0, 1: 1, 2: 1}
    fails("ignore (=2) is also class 1", check_ignore, 2, classes)
    fails("Choose another ignore value, or other classes.", check_ignore, 2, classes)
    fails("or the classes with label=VALUE=NAME.", check_ignore, 2, classes, "label")
    fails("expected at most 254)", check_ignore, 300, {n: n for n in range(256)})


# --- what becomes of the voxels


def test_ignored_voxels_hold_one_number_in_memory():
    values = np.array([[[0, 1, 7]]])
    classes = np.array([[[0, 1, 0]]], np.uint8)
    assert mark_ignored(classes.copy(), values, None, "a.nii").tolist() == [[[0, 1, 0]]]
    assert mark_ignored(classes, values, 7, "a.nii").tolist() == [[[0, 1, IGNORED]]]


def test_a_label_map_without_a_known_voxel_is_refused():
    values = np.full((2, 2, 2), 7)
    fails("a.nii: every voxel has the ignore value 7", mark_ignored, values, values, 7, "a.nii")
