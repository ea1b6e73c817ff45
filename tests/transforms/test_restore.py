"""Labels made slab by slab are those of resampling every probability of the whole grid."""

import numpy as np
import pytest
import torch

from grids_of_slabs import SCANS, SIZE, logits, slabs
from monai_attn.datasets.regions import Regions
from monai_attn.transforms import restore as module
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.resample import resample_onto
from monai_attn.transforms.restore import Slab, labels_and_maps_on_grid, labels_on_grid


def everything(values, matrix, shape):
    """The labels by way of every probability of the scan."""
    return resample_onto(values.softmax(0), matrix, shape).argmax(0).numpy()


REGIONS = Decoding(Regions({1: (1, 2, 3), 3: (2, 3), 2: (2,)}))


@pytest.mark.parametrize(("matrix", "shape"), SCANS.values(), ids=SCANS.keys())
def test_labels_of_regions_are_those_of_resampling_every_probability(matrix, shape):
    values = logits(3) - 1
    chances = resample_onto(values.sigmoid(), matrix, shape)
    expected = np.zeros(shape, np.uint8)
    for label, chance in zip((1, 3, 2), chances.numpy(), strict=True):
        expected[chance > 0.5] = label
    labels = labels_on_grid(slabs(values, 0, [7]), SIZE, matrix, shape, decoding=REGIONS)
    assert len(np.unique(labels)) == 4
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("matrix", "shape"), SCANS.values(), ids=SCANS.keys())
def test_labels_are_those_of_resampling_everything(matrix, shape, classes):
    values = logits(classes)
    expected = everything(values, matrix, shape)
    assert 0 < (expected > 0).mean() < 0.9
    for axis in range(3):
        for cuts in ([], [1], [7, 8, 13]):
            labels = labels_on_grid(slabs(values, axis, cuts), SIZE, matrix, shape, axis)
            np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize(("matrix", "shape"), SCANS.values(), ids=SCANS.keys())
def test_a_box_stands_for_background_around_it(matrix, shape):
    """As long as its outermost layer is background."""
    values, box = logits(3), (slice(4, 20), slice(0, 14), slice(3, 16))
    inner = torch.full_like(values, -20.0)
    inner[0] = 20
    core = (slice(None), slice(5, 19), slice(0, 13), slice(4, 16))
    inner[core] = values[core]
    part = Slab(box, inner[(slice(None), *box)])
    labels = labels_on_grid([part], SIZE, matrix, shape)
    np.testing.assert_array_equal(labels, everything(inner, matrix, shape))


def test_chunks_do_not_show(monkeypatch):
    matrix, shape = SCANS["finer"]
    values = logits(5)
    whole = labels_on_grid(slabs(values, 0, []), SIZE, matrix, shape)
    monkeypatch.setattr(module, "CHUNK", 1)
    np.testing.assert_array_equal(labels_on_grid(slabs(values, 0, []), SIZE, matrix, shape), whole)


def test_nothing_found_is_all_background():
    values = torch.zeros(3, *SIZE)
    values[0] = 1
    labels = labels_on_grid(slabs(values, 0, [9]), SIZE, *SCANS["finer"])
    assert (labels.dtype, labels.any()) == (np.uint8, False)


def test_a_tie_is_background():
    labels = labels_on_grid(slabs(torch.zeros(2, *SIZE), 0, []), SIZE, *SCANS["finer"])
    assert not labels.any()


def test_more_than_256_classes():
    values = torch.zeros(300, *SIZE)
    values[0], values[299, 10:14, 8:12, 6:10] = 1, 9
    labels = labels_on_grid(slabs(values, 0, [12]), SIZE, *SCANS["the same"])
    assert (labels.dtype, set(np.unique(labels))) == (np.uint16, {0, 299})


def test_labels_lie_as_nifti_stores_them():
    labels = labels_on_grid(slabs(logits(2), 0, []), SIZE, *SCANS["finer"])
    assert labels.flags.f_contiguous


def attention(share_unseen=0.0):
    """Two maps of 0..1; a part of them was not looked at."""
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(2, *SIZE, generator=generator)
    maps[:, : int(SIZE[0] * share_unseen)] = torch.nan
    return maps


def map_slabs(values, maps, axis, cuts):
    for slab in slabs(torch.cat([values, maps]), axis, cuts):
        logits, first, second = slab.logits[:-2], slab.logits[-2:-1], slab.logits[-1:]
        yield Slab(slab.box, logits, (first, second))


@pytest.mark.parametrize(("matrix", "shape"), SCANS.values(), ids=SCANS.keys())
def test_maps_come_along_and_the_labels_stay(matrix, shape):
    values, maps = logits(3), attention()
    expected = resample_onto(maps, matrix, shape).numpy()
    for axis in range(3):
        labels, found = labels_and_maps_on_grid(
            map_slabs(values, maps, axis, [5, 6]), SIZE, matrix, shape, axis
        )
        np.testing.assert_array_equal(labels, everything(values, matrix, shape))
        assert [part.dtype for part in found] == [np.uint8, np.uint8]
        for stored, exact in zip(found, expected, strict=True):
            np.testing.assert_allclose(
                (stored.astype(float) - 1) / 254, exact, atol=0.5 / 254 + 1e-6
            )


def test_what_was_not_looked_at_is_marked():
    matrix, shape = SCANS["the same"]
    _, found = labels_and_maps_on_grid(
        map_slabs(logits(2), attention(0.5), 1, [5]), SIZE, matrix, shape, 1
    )
    assert (found[0][:12] == 0).all()
    assert (found[0][12:] > 0).all()


def test_where_no_slab_reaches_nothing_was_looked_at():
    box = (slice(4, 20), slice(0, 14), slice(3, 16))
    part = Slab(box, logits(2)[(slice(None), *box)], (attention()[(slice(0, 1), *box)],))
    _, found = labels_and_maps_on_grid([part], SIZE, *SCANS["the same"])
    seen = np.zeros(SIZE, bool)
    seen[box] = True
    np.testing.assert_array_equal(found[0] > 0, seen)
