"""One scan to its labels: on its own grid, in the right place, with progress."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer, SlidingWindowInferer
from monai.transforms import Compose
from scipy import ndimage

from monai_attn.inference import segmenter as module
from monai_attn.inference.entropy import entropy
from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.label_measures import Pieces
from monai_attn.inference.result_checks import Expected, FailedCheck
from monai_attn.inference.segmenter import Segmenter
from monai_attn.inference.views import View
from monai_attn.metrics.calibration import Confidence
from monai_attn.runs.batch import CaseResult, segment_files
from monai_attn.transforms.pipelines import postprocessing, preprocessing

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")

SPACING, HU = (3.0, 3.0, 3.0), (0.0, 100.0)


def bright(x):
    """A network that calls bright voxels foreground; its logits follow the image."""
    return torch.cat([0.5 - x, x - 0.5], dim=1) * 20


def segmenter(network=bright, inferer=None, after=None):
    before = preprocessing(SPACING, HU)
    after = after or postprocessing("unused")
    inferer = inferer or SlidingWindowInferer((8, 8, 8), overlap=0.5, mode="gaussian")
    return Segmenter(before, inferer, network, after, torch.device("cpu"))


@pytest.fixture
def scan(tmp_path):
    """An oblique, anisotropic scan in LPS order with a bright block of 4 x 5 x 4 voxels."""
    angle = 0.2
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.5, -2.5, 4.0])
    affine[:3, 3] = (20, -30, 400)
    data = np.zeros((20, 18, 11), np.int16)
    data[6:10, 5:10, 3:7] = 100
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def test_labels_lie_where_the_scan_is_bright(scan):
    result = segmenter()(scan)
    truth = nib.load(scan).get_fdata() > 50
    overlap = 2 * (truth & (result.labels == 1)).sum() / (truth.sum() + (result.labels == 1).sum())
    assert result.labels.shape == truth.shape
    assert overlap > 0.85


def test_volume_is_in_millilitres(scan):
    result = segmenter()(scan)
    voxels = int((result.labels == 1).sum())
    assert result.volumes_ml == {1: pytest.approx(voxels * 2.5 * 2.5 * 4.0 / 1000)}


def test_progress_counts_every_window(scan):
    calls, seen = [], []

    def network(x):
        seen.append(x.shape[0])
        return bright(x)

    segmenter(network)(scan, lambda done, total: calls.append((done, total)))
    windows = sum(seen)
    assert windows > 4
    assert calls == [(done, windows) for done in range(windows + 1)]


def test_progress_without_a_window_grid_has_no_total(scan):
    calls = []
    segmenter(inferer=SimpleInferer())(scan, lambda *call: calls.append(call))
    assert calls == [(0, None), (1, None)]


def test_labels_that_do_not_return_to_the_scan_are_refused(scan):
    after = Compose([lambda data: {**data, "pred": data["pred"].argmax(0, keepdim=True)}])
    with pytest.raises(ValueError, match=r"scan\.nii\.gz: .*does not return to the scan's grid"):
        segmenter(after=after)(scan)


def test_a_bad_scan_does_not_stop_the_others(scan, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(scan.read_bytes()[:200])
    targets = {broken: tmp_path / "out" / "a.nii.gz", scan: tmp_path / "out" / "b.nii.gz"}
    bad, good = segment_files(segmenter(), targets)
    assert str(broken) in bad.error
    assert "\n" not in bad.error
    assert (good.error, good.name, set(good.volumes_ml)) == ("", "scan", {1})
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.manifest.json", "b.nii.gz"]


def test_what_the_network_raises_is_one_line_that_names_the_scan(scan, tmp_path):
    def out_of_memory(x):
        raise RuntimeError("cannot allocate\n64 GiB")

    (result,) = segment_files(segmenter(out_of_memory), {scan: tmp_path / "out.nii.gz"})
    assert result.error == f"{scan}: cannot allocate 64 GiB"


@pytest.mark.parametrize("inferer", [None, AttentionWindowInferer((8, 8, 8))])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_are_no_empty_label_map(scan, tmp_path, inferer, value):
    def broken(x):
        logits = bright(x)
        logits[..., 0, 0, 0] = value
        return logits

    (result,) = segment_files(segmenter(broken, inferer), {scan: tmp_path / "out.nii.gz"})
    assert result.error.startswith(f"{scan}: the network's logits are not finite")
    assert not (tmp_path / "out.nii.gz").exists()


def test_an_estimate_counts_the_scan_once(scan, monkeypatch):
    """What the process held before it read the scan, and what the scan takes on top of that."""
    held = iter([10**6])
    monkeypatch.setattr(module, "used_memory", lambda: next(held, 10**9))
    ours = segmenter(inferer=AttentionWindowInferer((8, 8, 8), overlap=0.5, mode="gaussian"))
    estimate = ours.estimate(scan)
    assert estimate.memory == 10**6 + ours.need(estimate.scan, estimate.plan)
    assert estimate.plan.total == len(estimate.plan.windows) > 4


# --- cleaned and checked


@pytest.fixture
def untidy(tmp_path):
    """A block of 7 voxels along each side with a hole of 3, a smaller one, and one at the last slice."""
    data = np.random.default_rng(0).integers(0, 9, (24, 20, 18)).astype(np.int16)
    data[2:9, 2:9, 2:9] = 100
    data[4:7, 4:7, 4:7] = 5
    data[14:19, 12:17, 2:7] = 100
    data[16:20, 2:6, 15:18] = 100
    path = tmp_path / "untidy.nii.gz"
    nib.save(nib.Nifti1Image(data, np.diag([3.0, 3, 3, 1])), path)
    return path


INFERERS = {
    "slabs": AttentionWindowInferer((8, 8, 8), overlap=0.5, mode="gaussian"),
    "whole": None,
}
CLEAN = postprocessing("unused", keep_largest=[1], fill_holes=[1], num_classes=2)


@pytest.mark.parametrize("inferer", INFERERS.values(), ids=INFERERS.keys())
def test_labels_are_cleaned_slab_by_slab_as_a_whole(untidy, inferer):
    raw, made = (segmenter(inferer=inferer, after=after)(untidy) for after in (None, CLEAN))
    expected = np.zeros(raw.labels.shape, bool)
    expected[2:9, 2:9, 2:9] = True
    assert ((raw.labels == 1) & ~expected).sum() > 100
    assert np.array_equal(made.labels == 1, expected)
    assert made.volumes_ml == {1: pytest.approx(343 * 0.027)}
    assert made.pieces == raw.pieces == {1: Pieces(3, 3)}, "before the others were dropped"


def test_views_are_cleaned_as_the_plain_one(untidy):
    ours = segmenter(inferer=INFERERS["slabs"], after=CLEAN)
    result = replace(ours, views=(View(flip=(0,)), View()))(untidy)
    assert [view[1] for view in result.views_ml] == [pytest.approx(343 * 0.027)] * 3


def test_maps_are_left_as_they_are(untidy):
    plain, clean = (
        replace(segmenter(inferer=INFERERS["slabs"], after=after), uncertainty=True)(untidy)
        for after in (None, CLEAN)
    )
    np.testing.assert_array_equal(plain.entropy, clean.entropy)
    assert (plain.labels != clean.labels).any()


@pytest.mark.parametrize("inferer", INFERERS.values(), ids=INFERERS.keys())
def test_what_is_written_is_checked_and_the_pieces_before(untidy, inferer):
    expected = {1: Expected((1.0, 5.0), ((1.0, 30.0),) * 3, 2)}
    made = replace(segmenter(inferer=inferer, after=CLEAN), expected=expected)(untidy)
    assert made.failed_checks == (
        FailedCheck(1, "volume", 9.261, (1.0, 5.0)),
        FailedCheck(1, "pieces", 3, 2),
    )
    raw = segmenter(inferer=inferer)(untidy)
    assert raw.failed_checks == (FailedCheck(1, "faces", ("last slice",)),)


def test_a_case_to_check_is_written_and_kept(untidy, tmp_path):
    ours = replace(
        segmenter(after=CLEAN),
        expected={1: Expected((20.0, 50.0))},
        settings={"labels": {"1": "organ"}},
    )
    targets = {untidy: tmp_path / "out" / "a.nii.gz"}
    for resume in (False, True):
        (result,) = segment_files(ours, targets, resume=resume)
        assert (result.status, result.kept) == ("check", resume)
        assert result.check == "organ 9.3 ml, expected 20 to 50 ml"
    assert CaseResult.unpacked(result.packed()) == result
    assert targets[untidy].exists()


# --- how sure it is


def windowed(network=bright, **options):
    """A segmenter that keeps maps, slab by slab; windows without a bright voxel are skipped."""
    inferer = AttentionWindowInferer(
        (5, 5, 5), overlap=0.2, mode="gaussian", body_mask=lambda image: image[0, 0] > 0.1
    )
    return replace(segmenter(network, inferer), **options)


def test_entropy_is_high_at_the_edge_low_inside_and_unseen_far_away(scan):
    soft = Confidence(temperature=5.0)
    result = windowed(uncertainty=True, confidence=soft)(scan)
    plain = windowed()(scan)
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


def test_entropy_follows_the_temperature_and_labels_do_not(scan):
    results = [
        windowed(uncertainty=True, confidence=Confidence(temperature))(scan)
        for temperature in (0.2, 1.0, 5.0)
    ]
    means = [result.entropy[result.entropy > 0].mean() for result in results]
    assert means[0] < means[1] < means[2]
    for result in results:
        np.testing.assert_array_equal(result.labels, results[0].labels)


def test_entropy_and_attention_are_kept_apart(scan):
    def network(x):
        return bright(x), torch.full_like(x, 0.5)

    result = windowed(network, levels=(1,), uncertainty=True)(scan)
    alone = windowed(uncertainty=True)(scan)
    assert set(np.unique(result.attention[1])) == {0, 128}
    np.testing.assert_array_equal(result.entropy, alone.entropy)


def test_entropy_needs_an_inferer_that_keeps_maps(scan):
    with pytest.raises(ValueError, match="do not keep maps and logits; use AttentionWindowInferer"):
        replace(segmenter(), uncertainty=True)(scan)


@pytest.mark.parametrize("make", [windowed, lambda: segmenter()], ids=["slabs", "whole"])
def test_each_view_has_its_volume_and_the_labels_are_those_of_the_plain_one(scan, make):
    views = (View(offset=0.3), View(offset=-0.3), View(flip=(0,)))
    result = replace(make(), views=views)(scan)
    plain = make()(scan)
    np.testing.assert_array_equal(result.labels, plain.labels)
    first, more, less, mirrored = (view[1] for view in result.views_ml)
    assert first == plain.volumes_ml[1]
    assert less < first < more
    assert mirrored == pytest.approx(first)  # a network of single voxels knows no left and right
    assert result.intervals_ml == {1: (less, more)}
    assert plain.intervals_ml == {}


def test_what_calibration_found_widens_the_interval_also_of_what_was_not_found(scan):
    wide = Confidence(factors={1: 5.0, 2: 5.0})
    result = windowed(views=(View(),), confidence=wide)(scan)
    volume = result.volumes_ml[1]
    assert result.intervals_ml == {
        1: (pytest.approx(0.95 * volume), pytest.approx(1.05 * volume)),
        2: (0.0, 0.0),
    }


def test_progress_counts_the_windows_of_all_views(scan):
    calls = []
    windowed(views=(View(), View()))(scan, lambda *call: calls.append(call))
    total = calls[0][1]
    assert calls == [(done, total) for done in range(total + 1)]
    assert total % 3 == 0


def test_maps_and_views_count_in_the_plan_of_memory(scan):
    plain, more = windowed(), windowed(uncertainty=True, views=(View(),))
    estimates = [ours.estimate(scan) for ours in (plain, more)]
    assert [estimate.plan.channels for estimate in estimates] == [2, 3]
    needs = [
        ours.need(estimate.scan, replace(estimate.plan, channels=2))
        for ours, estimate in zip((plain, more), estimates, strict=True)
    ]
    assert needs[1] - needs[0] >= 2 * 20 * 18 * 11  # a byte each for the map and a view's labels


def test_each_slab_of_logits_can_be_looked_at(scan):
    slabs = []
    result = windowed()(scan, on_slab=slabs.append)
    assert slabs[0].logits.shape[0] == 2
    assert sum(int(slab.seen.sum()) for slab in slabs) > 0
    shape, _ = windowed().network_grid(result.scan)
    assert {slab.logits.shape[1:] == slab.seen.shape[1:] for slab in slabs} == {True}
    assert all(part.stop <= n for slab in slabs for part, n in zip(slab.box, shape, strict=True))


# --- the probabilities


def test_labels_before_cleaning_are_the_argmax_of_the_probabilities(untidy):
    ours = windowed(probabilities=True, confidence=Confidence(2.0), postprocessing=CLEAN)
    result, raw = ours(untidy), windowed()(untidy)
    found = result.probabilities.fractions()
    assert found.shape == (*raw.labels.shape, 2)
    np.testing.assert_array_equal(found.argmax(-1), raw.labels)
    assert (result.labels != raw.labels).any(), "they were cleaned"
    assert raw.probabilities is None


def test_probabilities_go_with_maps_and_change_no_label(scan):
    result = windowed(probabilities=True, uncertainty=True)(scan)
    alone = windowed(uncertainty=True)(scan)
    np.testing.assert_array_equal(result.labels, alone.labels)
    np.testing.assert_array_equal(result.entropy, alone.entropy)
    np.testing.assert_array_equal(result.probabilities.fractions().argmax(-1), result.labels)


def test_probabilities_need_an_inferer_that_keeps_them(scan):
    with pytest.raises(ValueError, match="do not keep maps and logits; use AttentionWindowInferer"):
        replace(segmenter(), probabilities=True)(scan)


def test_probabilities_count_in_the_memory(scan):
    plain, kept = (windowed(probabilities=kept) for kept in (False, True))
    voxels = 20 * 18 * 11
    assert kept.budget.kept == plain.budget.kept + 2
    assert kept.estimate(scan).plan.stitch_bytes > plain.estimate(scan).plan.stitch_bytes
    needs = [one.budget.need(*_grids(one, scan), one.estimate(scan).plan) for one in (plain, kept)]
    assert needs[1] >= needs[0] + 2 * voxels


def _grids(ours, scan):
    grid = ours.open(scan).grid
    return grid, ours.network_grid(grid)[1]
