"""The ignore value of a data set is none of the bundle's classes, as a training will read them too."""

import pytest

from monai_attn.datasets.ignore import check_ignore
from monai_attn.datasets.label_classes import LabelClasses, mapped_labels
from monai_attn.datasets.label_rules import read_label_rules
from scans import datalist

SHIPPED = LabelClasses(("background", "pancreas"), {0: 0, 1: 1, 2: 1})
CHOSEN = LabelClasses(("background", "a", "b"), {0: 0, 1: 0, 2: 0, 3: 1, 4: 2})
# the classes of the bundle, what the data set declares, the classes that are left
DECLARED = {
    "a value of a class with another": (SHIPPED, {"pancreas": 1, "ignore": 2}, {0: 0, 1: 1}),
    "the number of a class": (SHIPPED, {"pancreas": 2, "ignore": 1}, {0: 0, 1: 0, 2: 1}),
    "background, by a choice": (CHOSEN, {"a": 3, "b": 4, "ignore": 2}, CHOSEN.label_map),
    "a value that is free": (SHIPPED, {"pancreas": 1, "ignore": 7}, SHIPPED.label_map),
}


@pytest.mark.parametrize(("own", "labels", "left"), DECLARED.values(), ids=DECLARED)
def test_a_declared_ignore_value_is_no_class_in_the_training_either(tmp_path, own, labels, left):
    content = {"labels": {"background": 0, **labels}, "file_ending": ".nii.gz"}
    rules = read_label_rules(datalist(tmp_path, content), own)
    rules.check()
    classes, _ = rules.choose({0, 1, 2, 3, 4})
    assert classes.label_map == left
    assert (classes is own) == (left is own.label_map)
    in_config = {str(value): number for value, number in classes.label_map.items()}
    check_ignore(rules.ignore, mapped_labels(classes.channels, in_config))


@pytest.mark.parametrize(
    ("chosen", "ignore"),
    [("type2", 2), ("1=type2", 2), ("2=a", None), ("1, 2=whole", None)],
    ids=["a declared name with a digit", "a name with a digit", "a value", "a region"],
)
def test_the_ignore_value_of_the_bundle_gives_way_to_a_chosen_value(tmp_path, chosen, ignore):
    content = {"labels": {"background": 0, "type2": 1}, "file_ending": ".nii.gz"}
    rules = read_label_rules(datalist(tmp_path, content), SHIPPED, [chosen], inherited=2)
    assert (rules.ignore, rules.inherited) == (ignore, ignore is not None)


def test_the_only_value_of_a_class_stays_and_is_refused(tmp_path):
    own = LabelClasses(("background", "pancreas", "tumour"), {0: 0, 1: 1, 2: 2})
    content = {"labels": {"background": 0, "pancreas": 1, "ignore": 2}, "file_ending": ".nii.gz"}
    rules = read_label_rules(datalist(tmp_path, content), own)
    with pytest.raises(ValueError, match=r"ignore \(=2\) is also class 2"):
        rules.check()
