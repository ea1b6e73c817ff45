"""Data sets with a mask for each structure."""

import pytest

from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.folder_layouts import layout_name
from monai_attn.datasets.masks import mask_choices
from monai_attn.datasets.splits import choose_split
from scans import fails, faults, touch

FILES = [
    f"{case}/{name}.nii.gz"
    for case in ("s0001", "s0002")
    for name in ("ct", "segmentations/liver", "segmentations/pancreas")
]


def test_the_mask_of_the_chosen_structure_is_the_label_map(tmp_path):
    touch(tmp_path, *FILES, "meta.csv")
    assert layout_name(tmp_path) == "TotalSegmentator, a mask for each structure"
    assert find_cases(tmp_path, ["1=pancreas"]) == [
        {
            "image": f"{tmp_path}/{case}/ct.nii.gz",
            "label": f"{tmp_path}/{case}/segmentations/pancreas.nii.gz",
        }
        for case in ("s0001", "s0002")
    ]
    assert find_cases(tmp_path, ["pancreas"]) == find_cases(tmp_path, ["1=pancreas"])
    split = choose_split(tmp_path, labels=["1=liver"])
    assert [len(split[part]) for part in ("training", "validation")] == [1, 1]


@pytest.mark.parametrize(
    "labels", [[], ["1"], ["1="], ["2=pancreas"], ["1=liver", "2=pancreas"], ["liver", "pancreas"]]
)
def test_one_structure_is_chosen(tmp_path, labels):
    touch(tmp_path, *FILES)
    message = f"{tmp_path}: has a mask for each structure (got {len(labels)} choices"
    fails(message, find_cases, tmp_path, labels)


def test_the_name_of_a_mask_stands_for_its_value(tmp_path):
    touch(tmp_path / "ts", *FILES)
    touch(tmp_path / "folders", "images/a.nii.gz", "labels/a.nii.gz")
    assert mask_choices(tmp_path / "ts", ["pancreas"]) == ["1=pancreas"]
    for same in ([], ["1"], ["2=pancreas"], ["liver", "pancreas"]):
        assert mask_choices(tmp_path / "ts", same) == same
    assert mask_choices(tmp_path / "folders", ["pancreas"]) == ["pancreas"]  # a declared name


def test_a_case_without_a_scan_or_the_mask_is_named(tmp_path):
    touch(tmp_path, *FILES, "s0003/segmentations/liver.nii.gz", "s0004/ct.nii.gz")
    touch(tmp_path, "s0005/ct.nii.gz", "s0005/segmentations/liver.nii.gz")
    assert [line.split(" (")[0] for line in faults(find_cases, tmp_path, ["1=pancreas"])] == [
        f"{tmp_path}/s0003: holds 0 scans next to segmentations",
        f"{tmp_path}/s0005/segmentations: has 0 masks of pancreas",
    ]
