"""Voxels drawn from a case: bounded in number, each standing for as many as it should."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_attn.datasets.references import read_reference
from monai_attn.datasets.regions import Regions
from monai_attn.io.scan import read_grid
from monai_attn.training.voxel_sampler import VoxelSampler
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.restore import Slab

SHAPE = (6, 5, 4)
AFFINE = np.diag([-10.0, 10, 10, 1])
REFERENCE = (np.arange(120).reshape(SHAPE) % 3).astype(np.uint8)


@pytest.fixture
def case(tmp_path):
    """A scan and its label, of three values."""
    for name, values in (("image", np.zeros(SHAPE, np.int16)), ("label", REFERENCE)):
        nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / f"{name}.nii.gz")
    return {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")}


def same_grid(scan):
    return scan.shape, scan.affine


def slabs(logits, seen=None):
    """Two slabs of a whole volume."""
    for part in (slice(0, 2), slice(2, 6)):
        box = (part, slice(0, 5), slice(0, 4))
        here = None if seen is None else seen[:, part]
        yield Slab(box, logits[:, part], (), here)


def drawn(case, logits, size, seen=None, network_grid=same_grid, seed=0, ignore=None, regions=None):
    classes = regions.targets() if regions else {0: 0, 1: 1, 2: 0}
    reference = read_reference(case["label"], read_grid(case["image"]), classes, ignore=ignore)
    draw = VoxelSampler(
        SimpleNamespace(network_grid=network_grid, decoding=Decoding(regions)),
        read_grid(case["image"]),
        reference,
        size,
        seed,
    )
    for slab in slabs(logits, seen):
        draw(slab)
    return draw


def is_labelled(sample, logits, truth):
    """Whether each voxel that was drawn, known by its logits, has its label."""
    label_of = dict(zip(map(tuple, logits.flatten(1).T.tolist()), truth.ravel(), strict=True))
    pairs = zip(sample.logits.tolist(), sample.labels, strict=True)
    return all(label_of[tuple(own)] == label for own, label in pairs)


def test_where_there_is_room_each_seen_voxel_comes_once_with_its_label(case):
    logits = torch.randn(2, *SHAPE) * 6
    seen = torch.rand(1, *SHAPE) > 0.4
    draw = drawn(case, logits, 1000, seen)
    sample = draw.sample
    assert draw.voxels == len(sample.labels) == int(seen.sum())
    assert (sample.weights == 1).all()
    assert is_labelled(sample, logits, REFERENCE == 1)


def test_each_region_of_a_voxel_is_a_choice_of_two_with_the_regions_probability(case):
    logits = torch.randn(2, *SHAPE) * 6
    regions = Regions({1: (1, 2), 2: (2,)})
    draw = drawn(case, logits, 1000, regions=regions)
    sample = draw.sample
    assert draw.voxels == 120
    assert len(sample.labels) == 240
    assert not sample.logits[:, 0].any()
    chances = torch.from_numpy(sample.logits).softmax(1)[:, 1]
    torch.testing.assert_close(chances.sort()[0], logits.sigmoid().ravel().sort()[0])
    assert sample.labels.sum() == (REFERENCE > 0).sum() + (REFERENCE == 2).sum()
    assert draw.truth_ml == pytest.approx({1: 80.0, 2: 40.0})


def test_ignored_voxels_are_not_drawn_and_have_no_volume(case):
    logits = torch.randn(2, *SHAPE) * 6
    whole, partly = drawn(case, logits, 1000), drawn(case, logits, 1000, ignore=2)
    assert (whole.whole, partly.whole) == (True, False)
    assert partly.voxels == len(partly.sample.labels) == (REFERENCE != 2).sum()
    assert set(partly.sample.labels) == {0, 1}
    assert is_labelled(partly.sample, logits, REFERENCE == 1)
    assert partly.truth_ml == whole.truth_ml == {1: pytest.approx(40)}


def test_where_windows_saw_ignored_voxels_only_nothing_is_drawn(case):
    seen = torch.from_numpy(REFERENCE == 2)[None]
    draw = drawn(case, torch.randn(2, *SHAPE), 10, seen, ignore=2)
    assert draw.voxels == 0
    assert draw.sample.logits.shape == (0, 2)
    assert draw.sample.labels.shape == draw.sample.weights.shape == (0,)


def test_a_draw_is_bounded_and_its_weights_stand_for_all(case):
    logits = torch.stack([torch.full(SHAPE, 9.0), torch.zeros(SHAPE)])
    logits[0, :3] = 1.0  # half is doubtful
    draw = drawn(case, logits, 7)
    assert len(draw.sample.labels) == 14
    assert draw.sample.weights.sum() == pytest.approx(draw.voxels) == 120
    assert draw.sample.doubtful.weights.sum() == pytest.approx(60)


def test_a_draw_is_repeatable_and_another_seed_draws_others(case):
    logits = torch.randn(2, *SHAPE)
    first, again, other = (drawn(case, logits, 9, seed=seed).sample.logits for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_voxel_of_a_kind_has_the_same_chance_whichever_slab_it_is_in(case):
    logits = torch.stack([torch.arange(120.0).reshape(SHAPE) / 1000, torch.zeros(SHAPE)])
    counts = np.zeros(120)
    for seed in range(60):
        found = drawn(case, logits, 40, seed=seed).sample.logits[:, 0]
        counts[np.rint(found * 1000).astype(int)] += 1
    assert counts.sum() == 60 * 40
    assert counts[:40].mean() == pytest.approx(20, rel=0.1)
    assert counts[40:].mean() == pytest.approx(20, rel=0.1)


def test_the_true_volume_is_that_of_the_label_file(case):
    assert drawn(case, torch.zeros(2, *SHAPE), 1).truth_ml == {1: pytest.approx(40)}


def test_labels_lie_where_the_network_sees_them(case):
    """On a grid in RAS order, which mirrors the scan."""
    mirrored = AFFINE @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    logits = torch.randn(2, *SHAPE)
    sample = drawn(case, logits, 1000, network_grid=lambda scan: (SHAPE, mirrored)).sample
    assert is_labelled(sample, logits, REFERENCE[::-1] == 1)
