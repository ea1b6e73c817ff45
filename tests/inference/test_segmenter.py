"""One scan to its labels: on its own grid, in the right place, with progress."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer
from monai.transforms import Compose

from monai_attn.inference import segmenter as module
from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.label_measures import Pieces
from monai_attn.inference.result_checks import Expected, FailedCheck
from monai_attn.inference.views import View
from monai_attn.runs.batch import CaseResult, segment_files
from tests.inference.bright_segmenter import CLEAN, bright, segmenter

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")


def test_labels_lie_where_the_scan_is_bright(bright_block):
    result = segmenter()(bright_block)
    truth = nib.load(bright_block).get_fdata() > 50
    overlap = 2 * (truth & (result.labels == 1)).sum() / (truth.sum() + (result.labels == 1).sum())
    assert result.labels.shape == truth.shape
    assert overlap > 0.85


def test_volume_is_in_millilitres(bright_block):
    result = segmenter()(bright_block)
    voxels = int((result.labels == 1).sum())
    assert result.volumes_ml == {1: pytest.approx(voxels * 2.5 * 2.5 * 4.0 / 1000)}


def test_progress_counts_every_window(bright_block):
    calls, seen = [], []

    def network(x):
        seen.append(x.shape[0])
        return bright(x)

    segmenter(network)(bright_block, lambda done, total: calls.append((done, total)))
    windows = sum(seen)
    assert windows > 4
    assert calls == [(done, windows) for done in range(windows + 1)]


def test_progress_without_a_window_grid_has_no_total(bright_block):
    calls = []
    segmenter(inferer=SimpleInferer())(bright_block, lambda *call: calls.append(call))
    assert calls == [(0, None), (1, None)]


def test_labels_that_do_not_return_to_the_scan_are_refused(bright_block):
    after = Compose([lambda data: {**data, "pred": data["pred"].argmax(0, keepdim=True)}])
    with pytest.raises(ValueError, match=r"scan\.nii\.gz: .*does not return to the scan's grid"):
        segmenter(after=after)(bright_block)


def test_a_bad_scan_does_not_stop_the_others(bright_block, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(bright_block.read_bytes()[:200])
    targets = {broken: tmp_path / "out" / "a.nii.gz", bright_block: tmp_path / "out" / "b.nii.gz"}
    bad, good = segment_files(segmenter(), targets)
    assert str(broken) in bad.error
    assert "\n" not in bad.error
    assert (good.error, good.name, set(good.volumes_ml)) == ("", "scan", {1})
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.manifest.json", "b.nii.gz"]


def test_what_the_network_raises_is_one_line_that_names_the_scan(bright_block, tmp_path):
    def out_of_memory(x):
        raise RuntimeError("cannot allocate\n64 GiB")

    (result,) = segment_files(segmenter(out_of_memory), {bright_block: tmp_path / "out.nii.gz"})
    assert result.error == f"{bright_block}: cannot allocate 64 GiB"


@pytest.mark.parametrize("inferer", [None, AttentionWindowInferer((8, 8, 8))])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_are_no_empty_label_map(bright_block, tmp_path, inferer, value):
    def broken(x):
        logits = bright(x)
        logits[..., 0, 0, 0] = value
        return logits

    (result,) = segment_files(segmenter(broken, inferer), {bright_block: tmp_path / "out.nii.gz"})
    assert result.error.startswith(f"{bright_block}: the network's logits are not finite")
    assert not (tmp_path / "out.nii.gz").exists()


def test_an_estimate_counts_the_scan_once(bright_block, monkeypatch):
    """What the process held before it read the scan, and what the scan takes on top of that."""
    held = iter([10**6])
    monkeypatch.setattr(module, "used_memory", lambda: next(held, 10**9))
    ours = segmenter(inferer=AttentionWindowInferer((8, 8, 8), overlap=0.5, mode="gaussian"))
    estimate = ours.estimate(bright_block)
    assert estimate.memory == 10**6 + ours.need(estimate.scan, estimate.plan)
    assert estimate.plan.total == len(estimate.plan.windows) > 4


# --- cleaned and checked

INFERERS = {
    "slabs": AttentionWindowInferer((8, 8, 8), overlap=0.5, mode="gaussian"),
    "whole": None,
}


@pytest.mark.parametrize("inferer", INFERERS.values(), ids=INFERERS.keys())
def test_labels_are_cleaned_slab_by_slab_as_a_whole(untidy_blocks, inferer):
    raw, made = (segmenter(inferer=inferer, after=after)(untidy_blocks) for after in (None, CLEAN))
    expected = np.zeros(raw.labels.shape, bool)
    expected[2:9, 2:9, 2:9] = True
    assert ((raw.labels == 1) & ~expected).sum() > 100
    assert np.array_equal(made.labels == 1, expected)
    assert made.volumes_ml == {1: pytest.approx(343 * 0.027)}
    assert made.pieces == raw.pieces == {1: Pieces(3, 3)}, "before the others were dropped"


def test_views_are_cleaned_as_the_plain_one(untidy_blocks):
    ours = segmenter(inferer=INFERERS["slabs"], after=CLEAN)
    result = replace(ours, views=(View(flip=(0,)), View()))(untidy_blocks)
    assert [view[1] for view in result.views_ml] == [pytest.approx(343 * 0.027)] * 3


def test_maps_are_left_as_they_are(untidy_blocks):
    plain, clean = (
        replace(segmenter(inferer=INFERERS["slabs"], after=after), uncertainty=True)(untidy_blocks)
        for after in (None, CLEAN)
    )
    np.testing.assert_array_equal(plain.entropy, clean.entropy)
    assert (plain.labels != clean.labels).any()


@pytest.mark.parametrize("inferer", INFERERS.values(), ids=INFERERS.keys())
def test_what_is_written_is_checked_and_the_pieces_before(untidy_blocks, inferer):
    expected = {1: Expected((1.0, 5.0), ((1.0, 30.0),) * 3, 2)}
    made = replace(segmenter(inferer=inferer, after=CLEAN), expected=expected)(untidy_blocks)
    assert made.failed_checks == (
        FailedCheck(1, "volume", 9.261, (1.0, 5.0)),
        FailedCheck(1, "pieces", 3, 2),
    )
    raw = segmenter(inferer=inferer)(untidy_blocks)
    assert raw.failed_checks == (FailedCheck(1, "faces", ("last slice",)),)


def test_a_case_to_check_is_written_and_kept(untidy_blocks, tmp_path):
    ours = replace(
        segmenter(after=CLEAN),
        expected={1: Expected((20.0, 50.0))},
        settings={"labels": {"1": "organ"}},
    )
    targets = {untidy_blocks: tmp_path / "out" / "a.nii.gz"}
    for resume in (False, True):
        (result,) = segment_files(ours, targets, resume=resume)
        assert (result.status, result.kept) == ("check", resume)
        assert result.check == "organ 9.3 ml, expected 20 to 50 ml"
    assert CaseResult.unpacked(result.packed()) == result
    assert targets[untidy_blocks].exists()
