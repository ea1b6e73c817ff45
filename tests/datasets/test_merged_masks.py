"""Masks of several structures become label maps."""

import json

import nibabel as nib
import numpy as np
import pytest

from monai_attn.datasets import find_cases, merge_masks
from monai_attn.datasets.label_classes import declared_labels
from monai_attn.io.errors import ScanWarning
from scans import AFFINE, SHAPE, fails, faults, save


def mask(*inside):
    values = np.zeros(SHAPE, np.uint8)
    values.flat[[*inside]] = 1
    return values


LIVER, SPLEEN = mask(0, 1, 2), mask(5, 6)


@pytest.fixture
def source(tmp_path):
    for case in ("s0001", "s0002"):
        folder = tmp_path / "ts" / case / "segmentations"
        folder.mkdir(parents=True)
        save(folder.parent / "ct.nii.gz", np.arange(24).reshape(SHAPE).astype(np.int16))
        save(folder / "liver.nii.gz", LIVER)
        save(folder / "spleen.nii.gz", SPLEEN)
        save(folder / "pancreas.nii.gz", mask())
    return tmp_path / "ts"


def values(path):
    return np.asarray(nib.load(path).dataobj)


def test_each_structure_has_a_value_in_the_order_of_the_names(source, tmp_path):
    dataset = merge_masks(source, tmp_path / "out", ["spleen", "liver", "pancreas"])
    assert dataset == tmp_path / "out" / "dataset.json"
    assert declared_labels(dataset) == {0: "background", 1: "spleen", 2: "liver", 3: "pancreas"}
    cases = find_cases(dataset)
    for case, name in zip(cases, ("s0001", "s0002"), strict=True):
        assert (source / name / "ct.nii.gz").samefile(case["image"])
        found = nib.load(case["label"])
        np.testing.assert_array_equal(np.asarray(found.dataobj), 2 * LIVER + SPLEEN)
        np.testing.assert_array_equal(found.affine, AFFINE)


def test_scans_are_named_by_relative_paths(source, tmp_path):
    merge_masks(source, tmp_path / "deep" / "out", ["liver"])
    (tmp_path / "deep").rename(source.parent / "moved")
    content = json.loads((tmp_path / "moved" / "out" / "dataset.json").read_text())
    assert content["training"][0]["image"] == "../../ts/s0001/ct.nii.gz"
    assert len(find_cases(tmp_path / "moved" / "out")) == 2


def test_a_mask_with_other_axes_is_reordered(source, tmp_path):
    flipped = AFFINE @ np.array([[-1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    save(source / "s0001" / "segmentations" / "liver.nii.gz", LIVER[::-1], flipped)
    with pytest.warns(ScanWarning, match=r"s0001.*reordered without interpolation"):
        merge_masks(source, tmp_path / "out", ["liver"])
    np.testing.assert_array_equal(values(tmp_path / "out" / "labelsTr" / "s0001.nii.gz"), LIVER)


def test_voxels_in_two_masks_are_counted(source, tmp_path):
    save(source / "s0002" / "segmentations" / "spleen.nii.gz", mask(2, 5))
    with pytest.warns(ScanWarning, match=r"s0002: voxels in several masks .got 1,"):
        merge_masks(source, tmp_path / "out", ["liver", "spleen"])
    assert values(tmp_path / "out" / "labelsTr" / "s0002.nii.gz").flat[2] == 2


def test_every_fault_is_named_and_nothing_is_left(source, tmp_path):
    folder = source / "s0001" / "segmentations"
    save(folder / "liver.nii.gz", 3 * LIVER)
    shift = AFFINE.copy()
    shift[0, 3] += 7
    save(source / "s0002" / "segmentations" / "spleen.nii.gz", SPLEEN, shift)
    lines = faults(merge_masks, source, tmp_path / "out", ["liver", "spleen"])
    assert [line.split(" (")[0].split(". ")[0] for line in lines] == [
        f"{folder}/liver.nii.gz: unknown label values",
        f"{source}/s0002/segmentations/spleen.nii.gz: is not on the grid of {source}/s0002/ct.nii.gz",
    ]
    (folder / "spleen.nii.gz").unlink()
    assert len(faults(merge_masks, source, tmp_path / "out", ["liver", "spleen"])) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ts"]


# names, what the message says
WRONG = [
    ([], "no structure is named"),
    (["liver", "liver"], "liver is named twice or reserved"),
    (["background"], "background is named twice or reserved"),
]


@pytest.mark.parametrize(("names", "message"), WRONG)
def test_names_that_cannot_be_used(source, tmp_path, names, message):
    fails(message, merge_masks, source, tmp_path / "out", names)


def test_a_folder_that_is_in_use_is_kept(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    fails("exists and is not empty", merge_masks, source, tmp_path / "out", ["liver"])
    fails("no masks", merge_masks, tmp_path / "out", tmp_path / "new", ["liver"])
    (tmp_path / "out" / "mine").unlink()
    assert merge_masks(source, tmp_path / "out", ["liver"]).is_file()
