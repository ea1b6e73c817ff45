import pytest

from monai_attn.datasets.ignore import find_ignore
from monai_attn.datasets.region_choice import (
    check_present,
    choose_labels,
    chosen_texts,
    declared_regions,
    suggested_order,
)
from monai_attn.datasets.regions import Regions
from scans import datalist, fails

LABELS = {"background": 0, "whole": [1, 2], "tumour": 2, "ignore": 3}
KITS = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumour": 2}


def nnunet(folder, labels, order=None):
    order = {} if order is None else {"regions_class_order": order}
    return datalist(folder, {"labels": labels, "file_ending": ".nii.gz", **order})


# --- as declared


@pytest.mark.parametrize(
    ("labels", "order", "names", "regions"),
    [
        (LABELS, [1, 2], ("whole", "tumour"), {1: (1, 2), 2: (2,)}),
        (KITS, [1, 3, 2], ("kidney", "masses", "tumour"), {1: (1, 2, 3), 3: (2, 3), 2: (2,)}),
        ({"background": [0], "organ": [7, 9]}, [9], ("organ",), {9: (7, 9)}),
    ],
    ids=["with ignore", "three", "one"],
)
def test_regions_are_declared_as_for_nnunet(tmp_path, labels, order, names, regions):
    found = declared_regions(nnunet(tmp_path, labels, order))
    assert found == declared_regions(tmp_path)
    assert found.names == ("background", *names)
    assert found.regions == Regions(regions)
    assert found.channels == len(names)
    assert found.label_map == {value: value for value in (0, *found.regions.known_values)}


def test_labels_of_one_value_each_are_no_regions(tmp_path):
    assert declared_regions(nnunet(tmp_path, {"background": 0, "a": 1, "b": [2]}, [1, 2])) is None
    assert declared_regions(tmp_path / "nowhere") is None


BAD = {
    "no order": (
        LABELS,
        None,
        "without regions_class_order (expected the value to write for each of",
    ),
    "the remedy": (KITS, None, 'Write "regions_class_order": [1, 3, 2].'),
    "too short": (LABELS, [1], "invalid regions_class_order (got [1], expected 2 values, one for"),
    "twice": (LABELS, [2, 2], "(got [2, 2], of which 2 is given twice). Write"),
    "unknown": (LABELS, [1, 5], "(got [1, 5], of which 5 is not a value of region 'tumour')"),
    "of another region": (LABELS, [2, 1], "of which 1 is not a value of region 'tumour'"),
    "a text": (LABELS, ["1", 2], "of which '1' is not a value of region 'whole'"),
    "no list": (LABELS, 1, "invalid regions_class_order (got 1, expected 2 values"),
    "empty": ({"whole": [1, 2], "a": []}, [1], "region 'a' is empty (got [], expected one or more"),
    "background": ({"whole": [0, 1]}, [1], "region 'whole' holds the background value 0"),
    "ignored": ({"whole": [1, 2], "ignore": 2}, [1], "region 'whole' holds the ignore value 2"),
    "ignore is not the highest": (
        {"whole": [1, 3], "ignore": 2},
        [1],
        "the ignore value 2 is not the highest (expected one above 3, as nnU-Net requires",
    ),
    "too high": ({"whole": [1, 255]}, [1], "holds the value 255 (expected at most 254)"),
    "hidden": (
        {"tumour": 2, "whole": [1, 2]},
        [2, 1],
        "label 2 would be hidden by that of label 1 around it",
    ),
    "no value of its own": ({"all": [1, 2], "a": 1, "b": 2}, None, "Choose a value that only this"),
}


@pytest.mark.parametrize(("labels", "order", "said"), BAD.values(), ids=BAD.keys())
def test_regions_that_a_label_map_cannot_show_are_refused(tmp_path, labels, order, said):
    path = nnunet(tmp_path, labels, order)
    fails(f"{path}: ", declared_regions, path)
    fails(said, declared_regions, path)


@pytest.mark.parametrize("value", [2, [3, 4]])
def test_an_ignore_value_in_a_region_or_of_several_values_is_refused(tmp_path, value):
    path = nnunet(tmp_path, {**LABELS, "ignore": value}, [1, 2])
    fails(f"{path}: the ignore ", find_ignore, None, path)


def test_a_region_that_no_label_map_holds_cannot_be_learned(tmp_path):
    classes = declared_regions(nnunet(tmp_path, KITS, [1, 3, 2]))
    assert check_present(classes, {0, 1, 2, 3}, "DATA") == []
    (doubt,) = check_present(classes, {0, 1, 2}, "DATA")
    assert doubt.startswith("DATA: no label map has the values 3 of its regions.")
    fails(
        "DATA: no label map has a value of region 'tumour'", check_present, classes, {1, 3}, "DATA"
    )


# --- as chosen


def test_a_choice_of_several_values_makes_regions():
    classes = choose_labels(["1,2=whole", "2=tumour"], {0, 1, 2, 4}, {5: "spleen"})
    assert classes.names == ("background", "whole", "tumour")
    assert classes.regions == Regions({1: (1, 2), 2: (2,)})
    assert classes.label_map == {0: 0, 1: 1, 2: 2, 4: 0, 5: 0}  # other values become background
    assert classes.numbered == {0: "background", 1: "whole", 2: "tumour"}
    assert chosen_texts(classes) == ("1,2=whole", "2=tumour")


def test_the_first_value_is_written():
    classes = choose_labels([" 3, 1 = whole", "tumour"], {1, 2, 3}, {2: "tumour"})
    assert classes.regions == Regions({3: (3, 1), 2: (2,)})
    assert choose_labels(["1=a"], {1}, {}).regions is None


BAD_CHOICES = {
    "no name": (["1,2"], "label '1,2': has no name. Write it like 1,2=whole."),
    "a value that no file holds": (["1,9=a"], "'1,9=a': no label map has this value (got 9,"),
    "the ignore value": (["1,3=a"], "label '1,3=a': 3 is the ignore value"),
    "the background": (["0,1=a"], "label '0,1=a': invalid value (got 0,"),
    "one first value": (["1,2=a", "1=b"], "label '1=b': 1 is already that of a (expected another"),
    "one name": (["1,2=a", "2=a"], "label '2=a': the name is already that of a"),
    "hidden": (["2=a", "1,2=b"], "labels '2=a', '1,2=b': the region of label 2 would be hidden"),
}


@pytest.mark.parametrize(("chosen", "said"), BAD_CHOICES.values(), ids=BAD_CHOICES.keys())
def test_choices_that_make_no_regions(chosen, said):
    fails(said, choose_labels, chosen, {0, 1, 2}, {}, 3)


def test_the_suggested_order_shows_each_region():
    assert suggested_order({"whole": (1, 2), "core": (2,)}) == (1, 2)
    assert suggested_order({"all": (1, 2), "a": (1,), "b": (2,)}) == ()
