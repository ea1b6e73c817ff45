"""The outputs of a segmentation besides its labels: entropy, views, probabilities and slabs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_attn.inference.entropy import entropy
from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.views import View
from monai_attn.metrics.calibration import Confidence
from tests.inference.bright_segmenter import CLEAN, bright, segmenter

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")


def windowed(network=bright, **options):
    """A segmenter that keeps maps, slab by slab; windows without a bright voxel are skipped."""
    inferer = AttentionWindowInferer(
        (5, 5, 5), overlap=0.2, mode="gaussian", body_mask=lambda image: image[0, 0] > 0.1
    )
    return replace(segmenter(network, inferer), **options)


def test_entropy_is_high_at_the_edge_low_inside_and_unseen_far_away(bright_block):
    soft = Confidence(temperature=5.0)
    result = windowed(uncertainty=True, confidence=soft)(bright_block)
    plain = windowed()(bright_block)
    np.testing.assert_array_equal(result.labels, plain.labels)
    assert plain.entropy is None
    assert result.entropy.shape == result.labels.shape
    inside = np.zeros(result.labels.shape, bool)
    inside[7:9, 6:9, 4:6] = True
    seen = result.entropy > 0
    edge = ndimage.binary_dilation(plain.labels) & (plain.labels == 0)
    certain = round(254 * float(entropy(torch.tensor([[-2.0], [2.0]])))) + 1
    assert seen.any()
    assert not seen.all(), "where no window was"
    assert seen[inside].all()
    assert abs(result.entropy[inside].astype(int) - certain).max() <= 1
    assert result.entropy[edge & seen].mean() > 1.3 * certain


def test_entropy_follows_the_temperature_and_labels_do_not(bright_block):
    results = [
        windowed(uncertainty=True, confidence=Confidence(temperature))(bright_block)
        for temperature in (0.2, 1.0, 5.0)
    ]
    means = [result.entropy[result.entropy > 0].mean() for result in results]
    assert means[0] < means[1] < means[2]
    for result in results:
        np.testing.assert_array_equal(result.labels, results[0].labels)


def test_entropy_and_attention_are_kept_apart(bright_block):
    def network(x):
        return bright(x), torch.full_like(x, 0.5)

    result = windowed(network, levels=(1,), uncertainty=True)(bright_block)
    alone = windowed(uncertainty=True)(bright_block)
    assert set(np.unique(result.attention[1])) == {0, 128}
    np.testing.assert_array_equal(result.entropy, alone.entropy)


def test_entropy_needs_an_inferer_that_keeps_maps(bright_block):
    with pytest.raises(ValueError, match="do not keep maps and logits; use AttentionWindowInferer"):
        replace(segmenter(), uncertainty=True)(bright_block)


@pytest.mark.parametrize("make", [windowed, lambda: segmenter()], ids=["slabs", "whole"])
def test_each_view_has_its_volume_and_the_labels_are_those_of_the_plain_one(bright_block, make):
    views = (View(offset=0.3), View(offset=-0.3), View(flip=(0,)))
    result = replace(make(), views=views)(bright_block)
    plain = make()(bright_block)
    np.testing.assert_array_equal(result.labels, plain.labels)
    first, more, less, mirrored = (view[1] for view in result.views_ml)
    assert first == plain.volumes_ml[1]
    assert less < first < more
    assert mirrored == pytest.approx(first)  # a network of single voxels knows no left and right
    assert result.intervals_ml == {1: (less, more)}
    assert plain.intervals_ml == {}


def test_what_calibration_found_widens_the_interval_also_of_what_was_not_found(bright_block):
    wide = Confidence(factors={1: 5.0, 2: 5.0})
    result = windowed(views=(View(),), confidence=wide)(bright_block)
    volume = result.volumes_ml[1]
    assert result.intervals_ml == {
        1: (pytest.approx(0.95 * volume), pytest.approx(1.05 * volume)),
        2: (0.0, 0.0),
    }


def test_progress_counts_the_windows_of_all_views(bright_block):
    calls = []
    windowed(views=(View(), View()))(bright_block, lambda *call: calls.append(call))
    total = calls[0][1]
    assert calls == [(done, total) for done in range(total + 1)]
    assert total % 3 == 0


def test_maps_and_views_count_in_the_plan_of_memory(bright_block):
    plain, more = windowed(), windowed(uncertainty=True, views=(View(),))
    estimates = [ours.estimate(bright_block) for ours in (plain, more)]
    assert [estimate.plan.channels for estimate in estimates] == [2, 3]
    needs = [
        ours.need(estimate.scan, replace(estimate.plan, channels=2))
        for ours, estimate in zip((plain, more), estimates, strict=True)
    ]
    assert needs[1] - needs[0] >= 2 * 20 * 18 * 11  # a byte each for the map and a view's labels


def test_each_slab_of_logits_can_be_looked_at(bright_block):
    slabs = []
    result = windowed()(bright_block, on_slab=slabs.append)
    assert slabs[0].logits.shape[0] == 2
    assert sum(int(slab.seen.sum()) for slab in slabs) > 0
    shape, _ = windowed().network_grid(result.scan)
    assert {slab.logits.shape[1:] == slab.seen.shape[1:] for slab in slabs} == {True}
    assert all(part.stop <= n for slab in slabs for part, n in zip(slab.box, shape, strict=True))


def test_labels_before_cleaning_are_the_argmax_of_the_probabilities(untidy_blocks):
    ours = windowed(probabilities=True, confidence=Confidence(2.0), postprocessing=CLEAN)
    result, raw = ours(untidy_blocks), windowed()(untidy_blocks)
    found = result.probabilities.fractions()
    assert found.shape == (*raw.labels.shape, 2)
    np.testing.assert_array_equal(found.argmax(-1), raw.labels)
    assert (result.labels != raw.labels).any(), "they were cleaned"
    assert raw.probabilities is None


def test_probabilities_go_with_maps_and_change_no_label(bright_block):
    result = windowed(probabilities=True, uncertainty=True)(bright_block)
    alone = windowed(uncertainty=True)(bright_block)
    np.testing.assert_array_equal(result.labels, alone.labels)
    np.testing.assert_array_equal(result.entropy, alone.entropy)
    np.testing.assert_array_equal(result.probabilities.fractions().argmax(-1), result.labels)


def test_probabilities_need_an_inferer_that_keeps_them(bright_block):
    with pytest.raises(ValueError, match="do not keep maps and logits; use AttentionWindowInferer"):
        replace(segmenter(), probabilities=True)(bright_block)


def test_probabilities_count_in_the_memory(bright_block):
    plain, kept = (windowed(probabilities=kept) for kept in (False, True))
    voxels = 20 * 18 * 11
    assert kept.budget.kept == plain.budget.kept + 2
    assert (
        kept.estimate(bright_block).plan.stitch_bytes
        > plain.estimate(bright_block).plan.stitch_bytes
    )
    needs = [
        one.budget.need(*_grids(one, bright_block), one.estimate(bright_block).plan)
        for one in (plain, kept)
    ]
    assert needs[1] >= needs[0] + 2 * voxels


def _grids(ours, scan):
    grid = ours.open(scan).grid
    return grid, ours.network_grid(grid)[1]
