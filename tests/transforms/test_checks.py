import warnings

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_attn.datasets.ignore import IGNORED
from monai_attn.io.errors import ScanWarning
from monai_attn.phantom import abdominal_phantom
from monai_attn.transforms.checks import CheckKnownd, CheckLabeld, CheckScand
from monai_attn.transforms.pipelines import preprocessing
from scans import fails

# --- a scan


@pytest.fixture(scope="module")
def phantom():
    return abdominal_phantom(3, shape=(56, 48, 28), spacing=(7, 7, 7))


def scan(values, affine):
    values = torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)[None]
    meta = {"filename_or_obj": "/scans/a.nii"}
    return MetaTensor(values, affine=torch.as_tensor(affine), meta=meta)


def test_a_sound_scan_passes_as_it_is(phantom):
    image = scan(phantom.image, phantom.affine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CheckScand("image")({"image": image, "other": 1}) == {"image": image, "other": 1}


def test_each_doubt_is_a_warning_that_names_the_scan(phantom):
    affine = phantom.affine.copy()
    affine[:3, 2] += 0.3 * affine[:3, 1]
    with pytest.warns(ScanWarning) as caught:
        CheckScand("image")({"image": scan(phantom.image[:, :, :3] + 1024, affine)})
    said = [str(warning.message) for warning in caught]
    assert all(text.startswith("/scans/a.nii: ") for text in said)
    assert "HU shifted by 1024?" in said[0]
    assert "a thin volume" in said[1]
    assert "its axes are sheared by 17 degrees" in said[2]
    assert len(said) == 3


def test_what_inference_does_begins_with_it():
    names = [type(step).__name__ for step in preprocessing((2, 2, 2), (-150, 250)).transforms]
    assert names[:3] == ["LoadImaged", "EnsureChannelFirstd", "CheckScand"]


# --- a label beside it

LABEL_MAPS = {
    "as they are": ([0, 1], 2, None, [0, 1]),
    "two values to one class": ([0, 1, 2], 2, {"2": 1}, [0, 1]),
    "others to background": ([0, 5, 7], 2, {"5": 0, "7": 1}, [0, 1]),
    "exchanged": ([0, 1, 2], 3, {1: 2, 2: 1}, [0, 1, 2]),
}


@pytest.mark.parametrize("row", LABEL_MAPS.values(), ids=LABEL_MAPS.keys())
def test_label_values_are_mapped_to_classes(row):
    values, num_classes, label_map, expected = row
    label = MetaTensor(torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))
    data = CheckLabeld(num_classes, label_map)({"image": label.clone(), "label": label})
    assert sorted(data["label"].unique().tolist()) == expected
    mapping = {int(k): v for k, v in (label_map or {}).items()}
    assert data["label"].flatten().tolist() == [mapping.get(v, v) for v in values]


NO_CLASS = {
    "unknown": ([0, 1, 2], r"case\.nii: unknown label values \(got 2, expected classes 0 to 1\)"),
    "a fraction": ([0, 0.5], r"case\.nii: value 0\.5 at voxel \(1, 0, 0\) is not a label"),
    "negative": ([-1, 0], r"case\.nii: value -1\.0 at voxel \(0, 0, 0\) is not a label"),
}


@pytest.mark.parametrize(("values", "fault"), NO_CLASS.values(), ids=NO_CLASS.keys())
def test_a_value_that_is_no_class_is_named(values, fault):
    label = MetaTensor(torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))
    label.meta["filename_or_obj"] = "case.nii"
    with pytest.raises(ValueError, match=fault):
        CheckLabeld(2)({"image": label.clone(), "label": label})


def test_labels_stored_with_a_scale_factor_are_rounded_as_everywhere():
    data = CheckLabeld(3)(labelled([0, 0.99999, 1.99998]))
    assert data["label"].flatten().tolist() == [0, 1, 2]


def test_a_label_map_in_another_order_of_axes_is_reordered():
    values = torch.arange(24, dtype=torch.float32).reshape(1, 2, 3, 4) % 3
    image = MetaTensor(values, affine=torch.diag(torch.tensor([2.0, 3.0, 5.0, 1.0])))
    flip = torch.tensor([[0.0, 0, 2, 0], [-3, 0, 0, 6], [0, 5, 0, 0], [0, 0, 0, 1]])
    label = MetaTensor(values.permute(0, 2, 3, 1).flip(1), affine=flip)
    found = CheckLabeld(3)({"image": image, "label": label})["label"]
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(found.affine, image.affine)


# --- an ignore value


def labelled(values):
    label = MetaTensor(torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))
    label.meta["filename_or_obj"] = "case.nii"
    return {"image": label.clone(), "label": label}


@pytest.mark.parametrize("label_map", [None, {"9": 0}, {"5": 1, "9": 0}])
def test_ignored_voxels_are_marked_whatever_their_value_would_become(label_map):
    data = CheckLabeld(2, label_map, ignore=9)(labelled([0, 1, 9, 9]))
    assert data["label"].flatten().tolist() == [0, 1, IGNORED, IGNORED]


def test_where_nothing_is_ignored_the_number_in_memory_is_a_value_like_any_other():
    assert CheckLabeld(2, {"255": 1})(labelled([0, 255]))["label"].flatten().tolist() == [0, 1]
    assert CheckLabeld(2, {"255": 1}, ignore=9)(labelled([9, 255]))["label"].max() == IGNORED
    assert CheckLabeld(2, ignore=255)(labelled([0, 255]))["label"].max() == IGNORED


def test_an_ignore_value_that_is_a_class_is_refused():
    fails("ignore (=1) is also class 1", CheckLabeld, 2, ignore=1)
    fails("ignore (=7) is also class 1", CheckLabeld, 2, {"7": 1}, ignore=7)


def test_a_label_without_a_known_voxel_is_refused():
    fails("case.nii: every voxel has the ignore", CheckLabeld(2, ignore=9), labelled([9, 9]))
    check = CheckKnownd("label")
    fails("case.nii: every voxel is ignored on the network", check, labelled([IGNORED] * 2))
    data = labelled([0, IGNORED])
    assert check(data) == data
