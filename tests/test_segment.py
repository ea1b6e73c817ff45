"""One scan to its labels: on its own grid, in the right place, with progress."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer, SlidingWindowInferer
from monai.transforms import Compose

from monai_attn.inference import segment as module
from monai_attn.inference.batch import segment_files
from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.segment import Segmenter
from monai_attn.transforms import postprocessing, preprocessing

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.data.errors.ScanWarning")

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


def test_an_outlook_counts_the_scan_once(scan, monkeypatch):
    """What the process held before it read the scan, and what the scan takes on top of that."""
    held = iter([10**6])
    monkeypatch.setattr(module, "used_memory", lambda: next(held, 10**9))
    ours = segmenter(inferer=AttentionWindowInferer((8, 8, 8), overlap=0.5, mode="gaussian"))
    outlook = ours.outlook(scan)
    assert outlook.memory == 10**6 + ours._need(outlook.scan, outlook.plan)
    assert outlook.plan.total == len(outlook.plan.windows) > 4
