"""Pipelines for labels that are known in a part of the voxels."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai import transforms as T
from monai.metrics import DiceMetric

from grids import RAS, SHAPE, SPACING
from monai_attn.datasets.ignore import IGNORED
from monai_attn.transforms.pipelines import (
    discretize,
    evaluation,
    postprocessing,
    training,
    validation,
)
from tests.transforms.bright_blob import (
    HIGH,
    RANGE,
    ROI,
    fake_logits,
    save_pair,
    save_volume,
    scan_values,
)

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")


def sparse_pair(folder, every=3, first=0, affine=RAS):
    """A label known on every third slice along the last axis; the rest holds 9."""
    files = save_pair(folder, affine)
    labels = (scan_values() == HIGH).astype(np.uint8)
    known = np.arange(SHAPE[2]) % every == first
    labels[:, :, ~known] = 9
    save_volume(Path(files["label"]), labels, affine)
    return files, known


def test_windows_are_centred_on_known_voxels_only(tmp_path):
    """A window of one voxel is its centre."""
    files, _ = sparse_pair(tmp_path)
    steps = training(nib.affines.voxel_sizes(RAS), RANGE, (1, 1, 1), num_samples=300, ignore=9)
    steps.set_random_state(0)
    labels = torch.cat([sample["label"].flatten() for sample in steps(files)])
    assert set(labels.tolist()) == {0, 1}
    assert 100 < labels.sum() < 200  # half of them on the foreground, as ever


@pytest.mark.parametrize("options", [{}, {"domain_randomization": True}], ids=str)
def test_augmentation_mixes_no_ignored_voxel_with_another(tmp_path, options):
    files, _ = sparse_pair(tmp_path)
    steps = training(SPACING, RANGE, ROI, num_samples=20, ignore=9, **options)
    steps.set_random_state(0)
    samples = steps(files)
    assert {v for s in samples for v in s["label"].unique().tolist()} == {0, 1, IGNORED}
    assert {s["label"].dtype for s in samples} == {torch.uint8}


def test_what_lies_outside_the_scan_is_background_as_ever():
    large = tuple(2 * n for n in SHAPE)
    steps = training(nib.affines.voxel_sizes(RAS), RANGE, large, num_samples=1, ignore=9)
    padded = next(step for step in steps.transforms if isinstance(step, T.SpatialPadd))
    label = torch.full((1, *SHAPE), IGNORED, dtype=torch.uint8)
    out = padded({"image": label, "label": label})["label"]
    assert int((out == IGNORED).sum()) == label.numel()
    assert int((out == 0).sum()) == out.numel() - label.numel()


def test_a_validation_label_is_ignored_where_its_file_says(tmp_path):
    files, known = sparse_pair(tmp_path)
    label = validation(nib.affines.voxel_sizes(RAS), RANGE, ignore=9)(files)["label"]
    assert label.dtype == torch.uint8
    ignored = (label[0] == IGNORED).numpy()
    assert ignored[:, :, ~known].all()
    assert not ignored[:, :, known].any()


def test_a_grid_between_the_known_slices_is_refused(tmp_path):
    files, _ = sparse_pair(tmp_path, every=8, first=3)
    coarse = nib.affines.voxel_sizes(RAS) * (1, 1, 8)  # of 16 slices the first and the ninth
    with pytest.raises(RuntimeError) as raised:
        training(coarse, RANGE, ROI, ignore=9)(files)
    said = str(raised.value.__cause__)
    assert said.startswith(f"{files['label']}: every voxel is ignored on the network's grid")
    training(coarse, RANGE, ROI)(save_pair(tmp_path))


def test_metrics_during_training_count_known_voxels_only():
    torch.manual_seed(0)
    label = torch.randint(0, 3, (1, 9, 6, 4), dtype=torch.uint8)
    logits, known = torch.randn(3, 9, 6, 4), torch.arange(9) % 3 == 0
    label[:, ~known] = IGNORED
    score = DiceMetric(include_background=False, num_classes=3)
    found, cut, all_counted = (
        score(discretize(ignore)({"pred": x, "label": y})["pred"][None], y[None])
        for ignore, x, y in (
            (9, logits, label),
            (None, logits[:, known], label[:, known]),
            (None, logits, label),
        )
    )
    torch.testing.assert_close(found, cut)
    assert not torch.allclose(found, all_counted)


def test_what_is_written_has_a_class_everywhere_and_what_is_scored_has_not(tmp_path):
    files, known = sparse_pair(tmp_path)
    data = evaluation(SPACING, RANGE, ignore=9)(files)
    data["pred"] = fake_logits(data["image"])
    out = postprocessing(str(tmp_path / "out"), ignore=9)(data)
    written = np.asarray(nib.load(tmp_path / "out" / "scan_seg.nii.gz").dataobj)
    assert set(np.unique(written)) == {0, 1}
    assert set(np.unique(out["pred"][0][:, :, ~known])) == {IGNORED}
    np.testing.assert_array_equal(out["pred"][0][:, :, known], written[:, :, known])
