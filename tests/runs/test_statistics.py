import csv
import json

import numpy as np
import pytest

from command_line import names_in, run
from monai_attn.io.scan import open_scan
from monai_attn.runs.extra_files import WrittenCase, write_extra_files
from monai_attn.runs.statistics import (
    STATISTICS,
    TABLE,
    check_statistics_table,
    write_statistics_table,
)
from run_folders import organ, ramp, write_case

NAMES = {1: "pancreas", 2: "cyst"}


@pytest.fixture
def case(tmp_path):
    write_case(tmp_path / "out")
    scan = open_scan(tmp_path / "scans" / "a.nii.gz")
    return WrittenCase(scan, tmp_path / "out" / "a_seg.nii.gz", NAMES)


def test_statistics_lie_next_to_the_label_map(case):
    assert write_extra_files(case, [STATISTICS]) == ([], [])
    path = case.target.with_name("a_statistics.json")
    content = json.loads(path.read_text())
    assert content["case"] == "a"
    assert [*content["labels"]] == ["pancreas", "cyst"]
    values = ramp()[organ() > 0].astype(float)
    pancreas = content["labels"]["pancreas"]
    assert pancreas["mean_hu"] == pytest.approx(values.mean(), abs=0.001)
    assert pancreas["sd_hu"] == pytest.approx(values.std(), abs=0.001)
    assert pancreas["volume_ml"] == pytest.approx(64 * 0.12)
    assert pancreas["extent_mm"] == [16.0, 20.0, 24.0]
    assert content["labels"]["cyst"]["mean_hu"] is None
    STATISTICS.check_replaceable(case.target)


def test_the_table_has_a_row_for_each_label_of_each_case(case, tmp_path):
    write_extra_files(case, [STATISTICS])
    failed = case.target.with_name("b_seg.nii.gz")
    path = write_statistics_table(tmp_path / "out", [case.target, failed])
    with path.open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["case"], row["name"], row["label"]) for row in rows] == [
        ("a", "pancreas", "1"),
        ("a", "cyst", "2"),
    ]
    assert rows[0]["extent_foot_head_mm"] == "24.0"
    assert rows[1]["mean_hu"] == ""


def test_a_table_of_the_user_is_not_replaced(tmp_path):
    check_statistics_table(tmp_path)
    write_statistics_table(tmp_path, [])
    check_statistics_table(tmp_path)
    (tmp_path / TABLE).write_text("mine")
    with pytest.raises(ValueError, match=r"statistics\.csv: no statistics of a run, so it is not"):
        check_statistics_table(tmp_path)


def test_segment_writes_statistics_of_all_cases(phantoms, tiny_bundle, tmp_path, monkeypatch):
    scans = sorted((phantoms / "imagesTr").iterdir())[:2]
    out = tmp_path / "out"
    assert (
        run(monkeypatch, "segment", *scans, "-o", out, "--bundle", tiny_bundle, "--statistics") == 0
    )
    names = [scan.name[:-7] for scan in scans]
    assert {f"{name}_statistics.json" for name in names} < {*names_in(out)}
    rows = json.loads((out / "summary.json").read_text())["cases"]
    with (out / TABLE).open(newline="") as file:
        volumes = {row["case"]: float(row["volume_ml"]) for row in csv.DictReader(file)}
    assert volumes == {row["case"]: row["volumes_ml"]["pancreas"] for row in rows}
    assert np.isfinite([*volumes.values()]).all()
