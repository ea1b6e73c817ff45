"""Probabilities on the scan's grid, of which the labels are the largest."""

import numpy as np
import pytest
import torch

from grids_of_slabs import SCANS, SIZE, logits, slabs
from monai_attn.datasets.regions import Regions
from monai_attn.io.probability_encoding import ONE
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.resample import resample_onto
from monai_attn.transforms.restore import labels_and_maps_on_grid, labels_on_grid
from monai_attn.transforms.restore_probabilities import KeptProbabilities

REGIONS = Decoding(Regions({1: (1, 2), 2: (2,)}))


def kept(values, matrix, shape, *, decoding=Decoding(), axis=0, cuts=(7, 8, 13), temperature=1.0):  # noqa: B008
    keep = KeptProbabilities(SIZE, matrix, shape, axis, decoding, temperature)
    parts = slabs(values, axis, cuts)
    labels = labels_on_grid(parts, SIZE, matrix, shape, axis, decoding, keep)
    return keep.stored, labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("matrix", "shape"), SCANS.values(), ids=SCANS.keys())
def test_they_are_those_of_resampling_everything_and_labels_are_their_argmax(
    matrix, shape, classes
):
    values = logits(classes)
    expected = resample_onto(values.softmax(0), matrix, shape)
    stored, labels = kept(values, matrix, shape)
    found = stored.fractions()
    np.testing.assert_allclose(np.moveaxis(found, -1, 0), expected, atol=classes / ONE)
    np.testing.assert_array_equal(found.argmax(-1), labels)
    np.testing.assert_array_equal(labels, labels_on_grid(slabs(values, 0, []), SIZE, matrix, shape))


@pytest.mark.parametrize("temperature", [0.3, 1.7])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_temperature_moves_them_and_never_the_argmax(classes, temperature):
    values = logits(classes)
    for name in ("finer", "sheared"):
        stored, labels = kept(values, *SCANS[name], temperature=temperature)
        np.testing.assert_array_equal(stored.fractions().argmax(-1), labels)
    found = kept(values, *SCANS["the same"], temperature=temperature)[0].fractions()
    expected = (values / temperature).softmax(0)
    np.testing.assert_allclose(np.moveaxis(found, -1, 0), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["finer", "sheared"])
def test_each_region_has_its_own_and_no_background(name):
    values = logits(3)[1:]
    matrix, shape = SCANS[name]
    stored, labels = kept(values, matrix, shape, decoding=REGIONS, temperature=1.5)
    found = stored.fractions()
    assert found.shape == (*shape, 2)
    whole, core = found[..., 0] > 0.5, found[..., 1] > 0.5
    np.testing.assert_array_equal(labels, np.where(core, 2, whole))
    assert whole.any()
    assert not whole.all()


def test_ties_and_rounding_leave_the_label_the_largest():
    even = torch.zeros(3, *SIZE)
    even[1] = 1e-7 * torch.randn(SIZE, generator=torch.Generator().manual_seed(0))
    stored, labels = kept(even, *SCANS["finer"])
    np.testing.assert_array_equal(stored.fractions().argmax(-1), labels)
    assert len(np.unique(labels)) > 1


def test_they_go_with_maps_and_take_two_bytes_without_the_background():
    values = logits(2)
    matrix, shape = SCANS["finer"]
    keep = KeptProbabilities(SIZE, matrix, shape, 0, Decoding())
    with_maps = [type(s)(s.box, s.logits, (s.logits[:1].sigmoid(),)) for s in slabs(values, 0, [5])]
    labels, _ = labels_and_maps_on_grid(with_maps, SIZE, matrix, shape, 0, Decoding(), keep)
    np.testing.assert_array_equal(keep.stored.fractions().argmax(-1), labels)
    assert keep.stored.steps.nbytes == 2 * labels.size


def test_where_no_slab_reaches_it_is_background():
    matrix, shape = SCANS["the same"]
    keep = KeptProbabilities(SIZE, matrix, shape, 0, Decoding())
    part = next(slabs(logits(2), 0, [8]))
    labels_on_grid([part], SIZE, matrix, shape, 0, Decoding(), keep)
    assert (keep.stored.fractions()[10:] == [1, 0]).all()
