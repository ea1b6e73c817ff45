"""The scan is checked on the host, and everything else of the preprocessing runs on the device."""

import numpy as np
import pytest
import torch
from monai import transforms as T
from monai.data.meta_tensor import MetaTensor

from monai_attn.inference import network_input as module
from monai_attn.inference.network_input import network_input
from monai_attn.transforms.checks import CheckScand
from monai_attn.transforms.pipelines import preprocessing, without

# the scans here are noise, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")
CPU = torch.device("cpu")


def scan():
    voxels = 100 * np.random.default_rng(0).standard_normal((12, 10, 8), dtype=np.float32)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    meta = {"affine": affine, "original_affine": affine, "original_channel_dim": "no_channel"}
    return MetaTensor(torch.from_numpy(voxels), meta=meta)


def test_the_input_is_that_of_all_steps_in_one_go():
    steps = preprocessing((3.0, 3.0, 3.0), (0.0, 100.0))
    whole = without(steps, T.LoadImaged)({"image": scan()})["image"]
    parted = network_input(scan(), steps, CPU)["image"]
    assert torch.equal(parted.as_tensor(), whole.as_tensor())
    assert torch.equal(parted.affine, whole.affine)


def test_the_scan_moves_to_the_device_after_its_check(monkeypatch):
    """Else every voxel would be copied back from a GPU."""
    calls = []
    check = CheckScand.__call__

    def checked(self, data):
        calls.append("check")
        return check(self, data)

    def moved(image, device):
        calls.append("move")
        return image

    resampled = T.Lambdad("image", lambda image: calls.append("resample") or image)
    monkeypatch.setattr(CheckScand, "__call__", checked)
    monkeypatch.setattr(module, "on_device", moved)
    network_input(
        scan(), T.Compose([T.EnsureChannelFirstd("image"), CheckScand("image"), resampled]), CPU
    )
    assert calls == ["check", "move", "resample"]


def test_without_a_check_every_step_runs_on_the_device(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "on_device", lambda image, _: calls.append("move") or image)
    step = T.Lambdad("image", lambda image: calls.append("step") or image)
    network_input(scan(), T.Compose([step]), CPU)
    assert calls == ["move", "step"]
