import numpy as np
from matplotlib.image import imread

from monai_attn.io.scan import open_scan
from monai_attn.reporting.preview import PREVIEW
from monai_attn.runs.extra_files import WrittenCase
from run_folders import SHAPE, stored_map, write_case


def written(tmp_path, levels=(), **maps):
    write_case(tmp_path / "out", **maps)
    scan = open_scan(tmp_path / "scans" / "a.nii.gz")
    return WrittenCase(scan, tmp_path / "out" / "a_seg.nii.gz", {1: "pancreas"}, levels)


def test_a_preview_lies_next_to_the_label_map_and_is_recognised(tmp_path):
    case = written(tmp_path)
    path = PREVIEW.path(case.target)
    assert path.name == "a_preview.png"
    PREVIEW.check_replaceable(case.target)
    PREVIEW.write(case, path)
    assert imread(path).shape[1] == 1920
    PREVIEW.check_replaceable(case.target)


def test_a_preview_shows_the_finest_attention_in_a_second_row(tmp_path):
    unseen = (np.indices(SHAPE)[0] < 2).nonzero()
    maps = {"attention": {1: stored_map(0.5, unseen=unseen), 2: stored_map(0.25)}}
    case = written(tmp_path, (1, 2), **maps)
    assert np.nanmax(case.attention) == np.float32(0.5)
    assert np.isnan(case.attention[:2]).all()
    assert not np.isnan(case.attention[2:]).any()
    PREVIEW.write(case, tmp_path / "two.png")
    PREVIEW.write(written(tmp_path), tmp_path / "one.png")
    assert len(imread(tmp_path / "two.png")) > 1.5 * len(imread(tmp_path / "one.png"))
