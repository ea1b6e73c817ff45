"""Cleaning as a step of a bundle's postprocessing."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_attn.transforms.cleaning import CleanLabelsd
from monai_attn.transforms.pipelines import postprocessing


def labels(order="F"):
    """A cube of 4 voxels with a hole, and a speck."""
    found = np.zeros((8, 7, 6), np.uint8, order=order)
    found[1:5, 1:5, 1:5] = 1
    found[2, 2, 2] = 0
    found[7, 6, 5] = 1
    return found


def cleaned(volume, **asked):
    return CleanLabelsd("pred", **asked)({"pred": volume, "other": 3})


def test_labels_keep_their_grid_and_type():
    affine = torch.diag(torch.tensor([2.0, 3, 4, 1], dtype=torch.float64))
    volume = MetaTensor(torch.from_numpy(labels())[None], affine=affine)
    out = cleaned(volume, keep_largest=[1], fill_holes=[1])
    pred = out["pred"]
    assert (pred.shape, pred.dtype, int(pred.sum())) == ((1, 8, 7, 6), torch.uint8, 64)
    assert torch.equal(pred.affine, affine)
    assert out["other"] == 3


@pytest.mark.parametrize(
    ("asked", "voxels"),
    [
        ({}, 64),
        ({"keep_largest": [1]}, 63),
        ({"keep_largest": [1], "keep_pieces_from": 0.015}, 64),  # 1 voxel of 63
        ({"fill_holes": [1]}, 65),
    ],
    ids=["neither", "keep_largest", "keep_pieces_from", "fill_holes"],
)
def test_each_argument_does_its_own(asked, voxels):
    out = cleaned(MetaTensor(torch.from_numpy(labels("C"))[None]), **asked)
    assert int(out["pred"].sum()) == voxels


WRONG = {
    "no class": ([3], "(=[3]) must be a list of classes from 1 to 2"),
    "the background": ([0], "(=[0]) must be"),
    "a text": (["1"], "(=['1']) must be"),
    "true": ([True], "(=[True]) must be"),
    "a number": (1, "(=1) must be"),
}


@pytest.mark.parametrize("name", ["keep_largest", "fill_holes"])
@pytest.mark.parametrize(("value", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_class_is_refused(name, value, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared
        postprocessing("out", num_classes=3, **{name: value})
    assert str(refused.value).startswith(f"{name} {said}")


@pytest.mark.parametrize("value", [0, 1.5, -0.1, True, "0.3", None])
def test_a_fraction_out_of_range_is_refused(value):
    with pytest.raises(
        ValueError,
        match=r"keep_pieces_from \(=.*\) must be a number above 0",
    ):
        postprocessing("out", keep_largest=[1], keep_pieces_from=value)


def test_without_classes_there_is_no_step():
    steps = [type(step).__name__ for step in postprocessing("out").transforms]
    assert steps == ["LabelsOnScanGridd", "SaveImaged"]
    steps = [type(step).__name__ for step in postprocessing("out", keep_largest=[1]).transforms]
    assert steps == ["LabelsOnScanGridd", "CleanLabelsd", "SaveImaged"]


# --- regions: a whole with a core within it

REGIONS = {"1": [1, 2], "2": [2]}


def whole_with_cores():
    """A whole of 5 x 5 x 1 voxels with a core of 2, and one of 1 apart from it; then a speck of a core."""
    found = np.zeros((12, 7, 3), np.uint8)
    found[1:6, 1:6, 1] = 1
    found[2, 2:4, 1] = 2
    found[4, 4, 1] = 2
    found[9, 1:3, 1] = 1, 2
    return found


@pytest.mark.parametrize(
    ("asked", "whole", "core"),
    [
        ({"keep_largest": [1]}, 25, 3),  # with the speck goes the core in it
        ({"keep_largest": [2]}, 27, 2),  # what is no core any more is still of the whole
        ({"keep_largest": [1, 2]}, 25, 2),
    ],
)
def test_a_region_is_cleaned_with_all_that_is_within_it(asked, whole, core):
    volume = MetaTensor(torch.from_numpy(whole_with_cores())[None])
    pred = CleanLabelsd("pred", **asked, regions=REGIONS)({"pred": volume})["pred"]
    assert int((pred > 0).sum()) == whole
    assert int((pred == 2).sum()) == core


def test_a_hole_of_a_region_gets_its_label():
    found = np.zeros((7, 7, 7), np.uint8)
    found[1:6, 1:6, 1:6] = 2
    found[1:3] = np.where(found[1:3], 1, 0)
    found[3, 3, 3] = 0
    pred = CleanLabelsd("pred", fill_holes=[1], regions=REGIONS)(
        {"pred": MetaTensor(torch.from_numpy(found)[None])}
    )["pred"]
    assert (pred[0, 3, 3, 3], int((pred > 0).sum())) == (1, 125)


def test_only_the_labels_of_regions_can_be_cleaned():
    with pytest.raises(ValueError, match="must be a list of classes among 1, 3"):
        CleanLabelsd("pred", [2], regions={"1": [1, 3], "3": [3]})
