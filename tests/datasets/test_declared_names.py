"""Names that a data set declares for its values must be those of the bundle's classes."""

import pytest

from monai_attn.datasets.declared_names import check_names
from monai_attn.datasets.label_classes import LabelClasses
from scans import faults

PANCREAS = LabelClasses(("background", "pancreas"), {0: 0, 1: 1, 2: 1})
ORGANS = LabelClasses(("background", "liver", "right kidney"), {0: 0, 1: 1, 2: 2, 3: 0})

SAME = {
    "as in the bundle": ({0: "background", 1: "pancreas"}, PANCREAS),
    "in other letters": ({0: "Background", 1: " Pancreas"}, PANCREAS),
    "with other signs": ({1: "Liver", 2: "right_kidney"}, ORGANS),
    "value that the bundle does not know": ({1: "pancreas", 9: "spleen"}, PANCREAS),
    "value that counts to the background": ({1: "liver", 3: "spleen"}, ORGANS),
    "nothing declared": ({}, PANCREAS),
}


@pytest.mark.parametrize(("declared", "classes"), SAME.values(), ids=SAME.keys())
def test_the_same_names(declared, classes):
    assert check_names("DATA", declared, classes) == ()


def test_a_lesion_counts_to_its_organ_with_a_doubt():
    (doubt,) = check_names("DATA", {1: "pancreas", 2: "cancer"}, PANCREAS)
    assert "value 2 is 'cancer', and counts as 'pancreas'" in doubt


# declared, the contradicting names: data sets of Decathlon, and one of nnU-Net
OTHERS = {
    "liver": ({1: "liver", 2: "cancer"}, ["1 is 'liver'"]),
    "spleen": ({0: "background", 1: "spleen"}, ["1 is 'spleen'"]),
    "hepatic vessel": ({1: "Vessel", 2: "Tumour"}, ["1 is 'Vessel'"]),
    "two organs": ({1: "pancreas", 2: "spleen"}, ["2 is 'spleen'"]),
    "neither": ({1: "aorta", 2: "spleen"}, ["1 is 'aorta'", "2 is 'spleen'"]),
}


@pytest.mark.parametrize(("declared", "named"), OTHERS.values(), ids=OTHERS.keys())
def test_another_name_is_refused_in_a_line_of_its_own(tmp_path, declared, named):
    lines = faults(check_names, tmp_path, declared, PANCREAS)
    assert len(lines) == len(named)
    for line, name in zip(lines, named, strict=True):
        assert line.startswith(f"{tmp_path / 'dataset.json'}: value {name}, but 'pancreas' in")
        assert "Choose the classes, such as label=" in line
