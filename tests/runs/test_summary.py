import csv
import json
from pathlib import Path

import pytest

from monai_attn.runs.batch import CaseResult
from monai_attn.runs.summary import CSV, JSON, Summary

NAMES = {1: "pancreas", 2: "cyst"}
SETTINGS = {"backend": "eager"}


def targets(folder, *names):
    """Scans that are there, and where their labels go."""
    found = {}
    for name in names:
        scan = folder / "scans" / f"{name}.nii.gz"
        scan.parent.mkdir(exist_ok=True)
        scan.touch()
        found[scan] = folder / f"{name}_seg.nii.gz"
    return found


def rows(folder):
    content = json.loads((folder / JSON).read_text())
    with (folder / CSV).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["case"] for row in table] == [case["case"] for case in content["cases"]]
    assert [row["status"] for row in table] == [case["status"] for case in content["cases"]]
    return content, table


def test_every_case_with_its_status_its_volumes_and_its_reason(tmp_path):
    cases = targets(tmp_path, "a", "b", "c")
    (a, at), (b, bt), (c, ct) = cases.items()
    with Summary(tmp_path, cases, NAMES, SETTINGS) as summary:
        summary.add(
            CaseResult(a, at, {1: 70.12345}, warnings=("a: thin", "a: tilted"), seconds=3.14159)
        )
        summary.add(CaseResult(b, bt, error=f'{b}: says "no", twice; mend it', seconds=0.1))
        summary.add(CaseResult(c, ct, {2: 1.0}, fallback="unsure", kept=True))
    content, table = rows(tmp_path)
    assert content["settings"] == SETTINGS
    assert content["counts"] == {"segmented": 1, "failed": 1, "kept": 1}
    first = content["cases"][0]
    assert first["volumes_ml"] == {"pancreas": 70.123, "cyst": 0.0}
    assert (first["scan"], first["labels"], first["seconds"]) == (str(a), "a_seg.nii.gz", 3.14)
    assert first["warnings"] == ["a: thin", "a: tilted"]
    assert [row["pancreas_ml"] for row in table] == ["70.123", "", "0.0"]
    assert [row["reason"] for row in table] == ["", f'{b}: says "no", twice; mend it', "unsure"]
    assert table[0]["warnings"] == "a: thin | a: tilted"


def test_a_case_to_check_has_its_reason_once(tmp_path):
    """What the locator made of the same scan would say it twice."""
    cases = targets(tmp_path, "a")
    ((a, at),) = cases.items()
    small, unsure = "pancreas 0.7 ml, expected 35 to 320 ml", "the locator's volume of 1 ml is not"
    with Summary(tmp_path, cases, NAMES, SETTINGS) as summary:
        summary.add(CaseResult(a, at, {1: 0.7}, fallback=unsure, check=small))
    content, (line,) = rows(tmp_path)
    assert content["counts"] == {"check": 1}
    assert (line["reason"], line["labels"]) == (small, "a_seg.nii.gz")
    with Summary(tmp_path, cases, NAMES, SETTINGS, resume=True):
        assert rows(tmp_path)[1][0]["status"] == "check", "it was made, and need not be made again"


def test_an_interval_has_two_columns_where_there_is_one(tmp_path):
    cases = targets(tmp_path, "a", "b")
    (a, at), (b, bt) = cases.items()
    with Summary(tmp_path, cases, NAMES, SETTINGS) as summary:
        summary.add(CaseResult(a, at, {1: 70.0}, intervals_ml={1: (68.5, 72.25)}))
        summary.add(CaseResult(b, bt, {1: 70.0}))
    content, table = rows(tmp_path)
    assert [case["intervals_ml"] for case in content["cases"]] == [{"pancreas": [68.5, 72.25]}, {}]
    assert [(row["pancreas_low_ml"], row["pancreas_high_ml"]) for row in table] == [
        ("68.5", "72.25"),
        ("", ""),
    ]
    assert "cyst_low_ml" not in table[0]


def test_a_run_that_breaks_off_has_its_summary(tmp_path):
    cases = targets(tmp_path, "a", "b")
    (a, at), _ = cases.items()

    def run():
        with Summary(tmp_path, cases, NAMES, SETTINGS) as summary:
            assert rows(tmp_path)[0]["counts"] == {"not run": 2}
            summary.add(CaseResult(a, at))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [case["status"] for case in rows(tmp_path)[0]["cases"]] == ["segmented", "not run"]


def test_what_an_earlier_run_made_counts_until_a_resumed_one_comes_to_it(tmp_path):
    cases = targets(tmp_path, "a", "b", "c")
    (a, at), (b, bt), _ = cases.items()
    with Summary(tmp_path, cases, NAMES, SETTINGS) as summary:
        summary.add(CaseResult(a, at, {1: 70.0}))
        summary.add(CaseResult(b, bt, error="bad"))
    with Summary(tmp_path, cases, NAMES, SETTINGS, resume=True):
        assert [row["status"] for row in rows(tmp_path)[1]] == ["segmented", "not run", "not run"]
    with Summary(tmp_path, cases, NAMES, SETTINGS):
        assert [row["status"] for row in rows(tmp_path)[1]] == ["not run"] * 3


def test_two_runs_into_one_folder_share_a_summary(tmp_path):
    one, two = targets(tmp_path, "a", "c"), targets(tmp_path, "b")
    with (
        Summary(tmp_path, one, NAMES, SETTINGS) as first,
        Summary(tmp_path, two, {7: "liver"}, SETTINGS) as second,
    ):
        second.add(CaseResult(*next(iter(two.items())), {7: 1500.0}))
        first.add(CaseResult(*next(iter(one.items())), {1: 70.0}))
    content, table = rows(tmp_path)
    assert [row["case"] for row in table] == ["a", "b", "c"]
    assert content["counts"] == {"segmented": 2, "not run": 1}
    assert [(row["pancreas_ml"], row["liver_ml"]) for row in table] == [
        ("70.0", ""),
        ("", "1500.0"),
        ("", ""),
    ]


def test_a_case_whose_scan_is_gone_is_no_longer_listed(tmp_path):
    with Summary(tmp_path, targets(tmp_path, "a", "b"), NAMES, SETTINGS):
        pass
    (tmp_path / "scans" / "a.nii.gz").unlink()
    with Summary(tmp_path, targets(tmp_path, "c"), NAMES, SETTINGS):
        pass
    assert [row["case"] for row in rows(tmp_path)[1]] == ["b", "c"]


@pytest.mark.parametrize("name", [JSON, CSV])
@pytest.mark.parametrize("content", ["", "[]", '{"training": []}', "a,b\n1,2\n"])
def test_a_file_of_another_kind_is_not_lost(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name}: not a summary of a run, so it is not replaced"):
        Summary(tmp_path, targets(tmp_path, "a"), NAMES, SETTINGS)
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize("cases", ["1", "[1]", '[{"labels": "a"}]', "null"])
def test_rows_that_are_none_are_left_out(tmp_path, cases):
    (tmp_path / JSON).write_text('{\n  "settings": {}, "cases": ' + cases + "}")
    with Summary(tmp_path, targets(tmp_path, "a"), NAMES, SETTINGS):
        pass
    assert len(rows(tmp_path)[1]) == 1


def test_a_name_that_is_no_text_is_shown_as_far_as_it_is(tmp_path):
    path = Path("\udcff.nii.gz")
    with Summary(tmp_path, {path: tmp_path / "\udcff_seg.nii.gz"}, NAMES, SETTINGS):
        pass
    assert (tmp_path / CSV).read_text().splitlines()[1].startswith(r"\udcff,not run,")


def test_the_status_of_a_case():
    path = Path("a.nii")
    assert CaseResult(path, path).status == "segmented"
    assert CaseResult(path, path, kept=True).status == "kept"
    assert CaseResult(path, path, error="bad").status == "failed"
    assert CaseResult(path, path, check="small").status == "check"
    assert CaseResult(path, path, check="small", kept=True).status == "check"
    assert CaseResult(path, path, check="small", error="bad").status == "failed"
