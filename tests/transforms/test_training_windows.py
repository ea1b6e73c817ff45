"""Windows of a training: where they are drawn, and how they vary."""

import numpy as np
import pytest
import torch
from monai import transforms as T
from monai.data import MetaTensor

from grids import RAS, SHAPE, SPACING
from monai_attn.transforms.pipelines import training
from tests.transforms.bright_blob import HIGH, RANGE, ROI, dice, save_pair, save_volume, scan_values

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")


def windows(folder, seed=0, num_samples=4, roi=ROI, affine=RAS, **options):
    steps = training(SPACING, RANGE, roi, num_samples, **options)
    steps.set_random_state(seed)
    return steps(save_pair(folder, affine))


@pytest.mark.parametrize("num_samples", [1, 4])
def test_training_gives_windows(tmp_path, num_samples):
    samples = windows(tmp_path, num_samples=num_samples)
    assert len(samples) == num_samples
    for sample in samples:
        image, label = sample["image"], sample["label"]
        assert image.shape == label.shape == (1, *ROI)
        assert not isinstance(image, MetaTensor)
        assert image.dtype == torch.float32
        assert not label.dtype.is_floating_point
        assert set(label.unique().tolist()) <= {0, 1}
        assert -0.4 < image.min() <= image.max() < 1.4  # noise and shifts may leave 0..1 a little


def test_domain_randomization_changes_windows_more(tmp_path):
    levels = []
    for far in (False, True):  # the whole scan each time: what differs is the augmentation
        samples = windows(tmp_path, num_samples=8, roi=SHAPE, domain_randomization=far)
        levels.append(torch.stack([sample["image"].mean() for sample in samples]).std())
    assert levels[1] > 2 * levels[0]
    (sample,) = windows(tmp_path, num_samples=1, domain_randomization=True)
    assert sample["image"].dtype == torch.float32
    assert set(sample["label"].unique().tolist()) <= {0, 1}


def test_with_two_sizes_a_window_is_a_part_of_one_axial_slice(tmp_path):
    """The scan's brightness says how high a slice lies."""
    values = np.broadcast_to(np.arange(16, dtype=np.int16) * 10, (20, 16, 16))
    image = save_volume(tmp_path / "i.nii", values, np.eye(4))
    label = save_volume(tmp_path / "l.nii", np.ones((20, 16, 16), np.uint8), np.eye(4))
    steps = training((1, 1, 1), (0, 150), (8, 12), num_samples=40)
    steps.set_random_state(0)
    samples = steps({"image": image, "label": label})
    assert {tuple(s[key].shape) for s in samples for key in s} == {(1, 8, 12)}
    heights = torch.stack([s["image"].median() for s in samples])
    assert len(heights.unique()) > 5
    still = [s["image"] for s in samples if s["image"].std() == 0]  # not given noise
    assert len(still) > 5


def test_training_pads_a_scan_smaller_than_the_window(tmp_path):
    (sample,) = windows(tmp_path, num_samples=1, roi=(24, 24, 24))
    assert sample["image"].shape == sample["label"].shape == (1, 24, 24, 24)


def test_windows_are_the_seeds_alone(tmp_path):
    first, again, other = (
        torch.stack([s["image"] for s in windows(tmp_path, i)]) for i in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_half_of_the_windows_are_centred_on_the_foreground(tmp_path):
    """A blob of 4 voxels in a large scan: a window at random hardly ever holds it in its centre."""
    shape = (40, 40, 40)
    label = np.zeros(shape, np.uint8)
    label[8:12, 8:12, 8:12] = 1
    case = {
        "image": save_volume(tmp_path / "i.nii", label.astype(np.int16) * 100),
        "label": save_volume(tmp_path / "l.nii", label),
    }
    steps = training(SPACING, RANGE, ROI, num_samples=200)
    steps.set_random_state(0)
    share = np.mean([bool(sample["label"].any()) for sample in steps(case)])
    assert 0.4 < share < 0.65


def overlaps(samples):
    """Dice of what is bright and what is labelled, in the windows that hold enough of it."""
    found = []
    for sample in samples:
        image, label = sample["image"], sample["label"] > 0
        if label.sum() > 30:
            bright = image > (image.min() + image.max()) / 2
            found.append(dice(bright.numpy(), label.numpy()))
    return found


def test_image_and_label_of_a_window_stay_together(tmp_path):
    """Exactly where both move; nearly where contrast, sharpness and resolution of the image vary too."""
    steps = training(SPACING, RANGE, ROI, num_samples=20)
    moving = T.Compose(
        [
            step
            for step in steps.transforms
            if not (isinstance(step, T.Randomizable) and step.keys == ("image",))
        ]
    )
    moving.set_random_state(0)
    assert sum(isinstance(step, T.RandAffined) for step in moving.transforms) == 1
    assert min(overlaps(moving(save_pair(tmp_path)))) > 0.85
    varied = overlaps(windows(tmp_path, num_samples=20))
    assert min(varied) > 0.6
    assert np.median(varied) > 0.9


def test_windows_are_never_flipped(tmp_path):
    """Left and right are not alike: brightness that grows to the right keeps doing so."""
    values = np.broadcast_to(np.arange(20)[:, None, None] * 20 - 100, SHAPE).astype(np.int16)
    label = (scan_values() == HIGH).astype(np.uint8)
    case = {
        "image": save_volume(tmp_path / "i.nii", values),
        "label": save_volume(tmp_path / "l.nii", label),
    }
    steps = training(SPACING, RANGE, ROI, num_samples=50)
    steps.set_random_state(0)
    for sample in steps(case):
        image = sample["image"][0]
        assert image[-1].mean() > image[0].mean()


def test_what_a_cache_may_keep_comes_before_what_is_random():
    steps = training(SPACING, RANGE, ROI).transforms
    chance = [isinstance(step, T.Randomizable) for step in steps]
    steady = {type(step).__name__ for step in steps[: chance.index(True)]}
    assert {"LoadImaged", "CheckLabeld", "ResampleRASd", "ClassesToIndicesd"} <= steady
    assert sum(chance) > 3
