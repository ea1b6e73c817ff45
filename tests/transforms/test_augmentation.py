"""Augmentation: sizes, values and labels stay sound; mirroring and the share of windows are as chosen."""

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_attn.transforms.augmentation import as_in_nnunet
from monai_attn.transforms.pipelines import training

KEYS, MODES = ("image", "label"), ("bilinear", "nearest")
WINDOWS = {"cube": (8, 10, 12), "flat": (16, 16, 4), "slice": (12, 8)}


def window(size):
    image = torch.linspace(0, 1, int(np.prod(size))).reshape(1, *size)
    return {"image": image, "label": (image > 0.5).to(torch.uint8)}


@pytest.mark.parametrize("name", WINDOWS)
def test_each_step_of_nnunet_keeps_the_size_and_the_labels(name):
    size = WINDOWS[name]
    for step in as_in_nnunet(KEYS, MODES, size, mirror_axes=range(len(size))):
        step.prob = 1.0
        step.set_random_state(3)
        out = step(window(size))
        assert out["image"].shape == out["label"].shape == (1, *size), step
        assert out["image"].isfinite().all()
        assert set(out["label"].unique().tolist()) <= {0, 1}, step


@pytest.mark.parametrize(("name", "turned"), [("cube", True), ("flat", False)])
def test_a_flat_window_is_turned_in_its_slices_only(name, turned):
    size = WINDOWS[name]
    affine = as_in_nnunet(KEYS, MODES, size)[0]
    affine.prob = 1.0
    affine.set_random_state(1)
    along_z = torch.arange(size[2], dtype=torch.float32).expand(1, *size).clone()
    out = affine({"image": along_z, "label": along_z.clone()})["image"]
    assert torch.allclose(out, along_z, atol=1e-4) is not turned


def scan(folder):
    """A bright voxel at the left end of a long, dark scan."""
    values = np.zeros((64, 8, 8), np.int16)
    values[4, 4, 4] = 100
    for key, voxels in (("image", values), ("label", (values > 0).astype(np.uint8))):
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / f"{key}.nii.gz")
    return {key: str(folder / f"{key}.nii.gz") for key in KEYS}


def steps(**options):
    return training((1, 1, 1), (0, 100), (8, 8, 8), num_samples=1, **options)


@pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")
@pytest.mark.parametrize(("share", "least", "most"), [(0.1, 0.0, 0.25), (0.9, 0.75, 1.0)])
def test_the_share_of_windows_on_the_foreground(tmp_path, share, least, most):
    pipeline = steps(foreground_share=share)
    first = pipeline.get_index_of_first(lambda step: "RandCrop" in type(step).__name__)
    steady = pipeline(scan(tmp_path), end=first)
    pipeline.set_random_state(0)
    crop = pipeline.transforms[first]
    found = [bool(crop(dict(steady))[0]["label"].any()) for _ in range(60)]
    assert least <= np.mean(found) <= most


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"augmentation": "strong"}, r"augmentation \(='strong'\) must be scans or nnunet"),
        ({"foreground_share": 0}, "foreground_share"),
        ({"foreground_share": 1.0}, "foreground_share"),
        ({"mirror_axes": [3]}, r"mirror_axes .* must lie in 0\.\.2"),
    ],
)
def test_options_out_of_range_are_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        steps(**options)


def test_windows_are_mirrored_only_along_the_chosen_axes():
    names = [type(step).__name__ for step in steps().transforms]
    assert "RandFlipd" not in names
    for augmentation in ("scans", "nnunet"):
        flips = [
            step.flipper.spatial_axis
            for step in steps(augmentation=augmentation, mirror_axes=[0, 2]).transforms
            if type(step).__name__ == "RandFlipd"
        ]
        assert flips == [0, 2]
