import pytest

from monai_attn.datasets.label_classes import choose_classes, declared_labels, mapped_labels
from scans import datalist, fails, touch

DECATHLON = {"labels": {"0": "background", "1": "pancreas", "2": "cancer"}, "training": []}
NNUNET = {"labels": {"background": 0, "pancreas": 1, "cancer": 2}, "file_ending": ".nii.gz"}
NAMES = {0: "background", 1: "pancreas", 2: "cancer"}

# --- as declared


@pytest.mark.parametrize("content", [DECATHLON, NNUNET], ids=["Decathlon", "nnU-Net"])
def test_both_dialects_declare_the_same(tmp_path, content):
    path = datalist(tmp_path, content)
    assert declared_labels(tmp_path) == declared_labels(path) == NAMES


NOTHING_DECLARED = {"no labels": {"training": []}, "empty": {"labels": {}}, "a list": ["a.nii"]}


@pytest.mark.parametrize("content", NOTHING_DECLARED.values(), ids=NOTHING_DECLARED.keys())
def test_a_datalist_that_declares_nothing(tmp_path, content):
    assert declared_labels(datalist(tmp_path, content)) == {}


def test_folders_and_files_of_another_kind_declare_nothing(tmp_path):
    touch(tmp_path, "images/a.nii")
    for name in ("", "images", "images/a.nii", "nowhere.json"):
        assert declared_labels(tmp_path / name) == {}


def test_a_value_of_regions_alone_is_declared_without_a_name_of_its_own(tmp_path):
    datalist(tmp_path, {"labels": {"background": 0, "whole": [1, 2], "tumour": 2, "ignore": 3}})
    assert declared_labels(tmp_path) == {0: "background", 1: "label_1", 2: "tumour"}


# labels, and whether they are nnU-Net's; the fault
BAD_DECLARATIONS = {
    "no number in a region": (
        {"background": 0, "whole": [1, "a"]},
        True,
        "label 'whole' has an invalid value (got 'a',",
    ),
    "no number": (
        {"one": "a"},
        False,
        "label 'a' has an invalid value (got 'one', expected a whole number",
    ),
    "the other dialect": ({"1": "a"}, True, "label '1' has an invalid value (got 'a',"),
    "negative": ({"a": -1}, True, "label 'a' has an invalid value (got -1,"),
    "fraction": ({"a": 1.5}, True, "label 'a' has an invalid value (got 1.5,"),
    "truth": ({"a": True}, True, "label 'a' has an invalid value (got True,"),
    "a list": (["a"], False, "invalid labels (got ['a'], expected names and values)"),
}


@pytest.mark.parametrize(
    ("labels", "nnunet", "fault"), BAD_DECLARATIONS.values(), ids=BAD_DECLARATIONS.keys()
)
def test_declarations_that_cannot_be_used(tmp_path, labels, nnunet, fault):
    content = {"labels": labels} | ({"file_ending": ".nii.gz"} if nnunet else {})
    fails(f"{datalist(tmp_path, content)}: {fault}", declared_labels, tmp_path)


# --- as chosen

# choices, found values, the classes, what each value becomes
CHOICES = {
    "in the order named": (
        ["7=spleen", "1=pancreas"],
        {0, 1, 7},
        ("spleen", "pancreas"),
        {0: 0, 1: 2, 7: 1},
    ),
    "others are background": (
        ["7=pancreas"],
        {0, 1, 7, 9},
        ("pancreas",),
        {0: 0, 1: 0, 7: 1, 9: 0},
    ),
    "merged": (["1=organ", "2=organ"], {1, 2}, ("organ",), {0: 0, 1: 1, 2: 1}),
    "merged apart": (
        ["1=a", "3=b", "2=a"],
        {1, 2, 3},
        ("a", "b"),
        {0: 0, 1: 1, 2: 1, 3: 2},
    ),
    "a value alone": (["7"], {7}, ("label_7",), {0: 0, 7: 1}),
    "a declared value": (["2"], {1, 2}, ("cancer",), {0: 0, 1: 0, 2: 1}),
    "a declared name": (["pancreas"], {1, 2}, ("pancreas",), {0: 0, 1: 1, 2: 0}),
    "a new name": (["1=gland"], {1}, ("gland",), {0: 0, 1: 1}),
    "spaces": ([" 1 = left kidney "], {1}, ("left kidney",), {0: 0, 1: 1}),
    "the same twice": (["1=a", "1=a"], {1}, ("a",), {0: 0, 1: 1}),
    "none chosen": ([], {0, 5, 2}, ("cancer", "label_5"), {0: 0, 2: 1, 5: 2}),
}


@pytest.mark.parametrize(
    ("chosen", "found", "names", "label_map"), CHOICES.values(), ids=CHOICES.keys()
)
def test_classes_are_as_chosen(chosen, found, names, label_map):
    classes = choose_classes(chosen, found, NAMES)
    assert classes.names == ("background", *names)
    assert classes.label_map == {**dict.fromkeys(NAMES, 0), **label_map}


def test_a_value_that_is_a_class_by_its_number_alone_is_background():
    classes = choose_classes(["7=pancreas", "8=tumour"], {0, 7, 8}, {5: "spleen"})
    assert classes.label_map == {0: 0, 1: 0, 2: 0, 5: 0, 7: 1, 8: 2}


BAD_CHOICES = {
    "malformed": ("7:pancreas", "label '7:pancreas': neither VALUE=NAME nor a declared name (decl"),
    "turned round": ("spleen=7", "label 'spleen=7': neither VALUE=NAME"),
    "a fraction": ("1.5=a", "label '1.5=a': neither VALUE=NAME"),
    "nothing": ("", "label '': neither VALUE=NAME"),
    "an unknown name": (
        "spleen",
        "declared: 0=background, 1=pancreas, 2=cancer). Write it like 7=",
    ),
    "the value 0": ("0=air", "label '0=air': invalid value (got 0,"),
    "a negative value": ("-1=a", "label '-1=a': invalid value (got -1,"),
    "no name": ("1=", "label '1=': invalid name (got '',"),
    "background": ("1=Background", "label '1=Background': invalid name (got 'Background',"),
    "declared background": ("background", "label 'background': invalid value (got 0,"),
    "a value that no file holds": (
        "4=a",
        "label '4=a': no label map has this value (got 4, expected one of 1, 2, 3)",
    ),
    "two names for a value": ("3=b", "label '3=b': 3 is already a (expected one name per value)"),
}


@pytest.mark.parametrize(("choice", "fault"), BAD_CHOICES.values(), ids=BAD_CHOICES.keys())
def test_choices_that_make_no_class(choice, fault):
    fails(fault, choose_classes, ["3=a", choice], {0, 1, 2, 3}, NAMES)


def test_a_config_knows_its_classes_and_the_values_that_it_maps():
    assert mapped_labels(3, {}) == {0: 0, 1: 1, 2: 2}
    assert mapped_labels(3, {"2": 1, "7": 2}) == {0: 0, 1: 1, 2: 1, 7: 2}


def test_label_maps_that_are_all_empty_make_no_class():
    fails("no label map has a value above 0 ", choose_classes, [], {0}, NAMES)
