import json

import pytest

from monai_attn.io.names import manifest_path
from monai_attn.runs.records import read_run
from run_folders import NUMBERS, row, write_case, write_rows
from scans import fails


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def only(out):
    (record,) = read_run(out).records
    return record


def test_a_case_has_what_its_row_and_its_manifest_say(out):
    said = write_case(
        out,
        fallback="unsure",
        confidence={"temperature": 1.5, "views": 8, "intervals_ml": {"1": [10.0, 14.0]}},
    )
    add_to_manifest(out, attention={"1": NUMBERS})
    write_rows(out, said)
    record = only(out)
    assert (record.name, record.status, record.made) == ("a", "segmented", True)
    assert (record.manifest.mode, record.manifest.fallback, record.manifest.windows) == (
        "full",
        "unsure",
        "4 of 9",
    )
    assert record.volumes_ml == {"pancreas": 12.345, "cyst": 0.0}
    assert record.manifest.intervals_ml == {"pancreas": (10.0, 14.0)}
    assert record.manifest.confidence == {"temperature": 1.5, "views": 8.0}
    assert record.manifest.stages == {"read": 0.5, "network": 1.5}
    assert record.manifest.attention == {"1": NUMBERS}
    assert record.fault == ""


def test_a_run_has_its_date_its_counts_and_all_labels_that_have_volumes(out):
    rows = [write_case(out, "a"), row("b", status="failed"), row("c", status="not run")]
    run = read_run(write_rows(out, *rows, row("d", status="failed", volumes_ml={"liver": 1.0})))
    assert run.date == "2026-01-02T03:04:05+00:00"
    assert run.counts == {"segmented": 1, "failed": 2, "not run": 1}
    assert run.volume_names == ["pancreas", "cyst", "liver"]


def test_a_label_map_with_a_name_of_its_own_is_known_by_its_manifest(out):
    write_case(out)
    record = only(out)
    assert (record.name, record.status) == ("a", "segmented")
    assert record.volumes_ml == {"pancreas": 12.345, "cyst": 0.0}
    assert record.seconds == 2.0


def test_a_case_to_check_is_made_and_says_why(out):
    said = write_case(out, check="pancreas 0.7 ml, expected 35 to 320 ml", fallback="unsure")
    record = only(out)
    assert (record.status, record.made) == ("check", True)
    assert record.reason == "pancreas 0.7 ml, expected 35 to 320 ml"
    write_rows(out, {**said, "status": "check", "reason": "as the summary has it"})
    record = only(out)
    assert (record.status, record.made, record.manifest.mode) == ("check", True, "full")
    assert record.reason == "as the summary has it"


def test_a_manifest_without_its_label_map_is_no_case(out):
    write_case(out)
    (out / "a_seg.nii.gz").unlink()
    fails("nothing was segmented into it", read_run, out)


def test_folders_without_a_run_are_refused_with_the_remedy(tmp_path):
    fails(f"{tmp_path}: nothing was segmented into it", read_run, tmp_path)
    fails(f"{tmp_path / 'a'}: no such folder", read_run, tmp_path / "a")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"cases": 1}', "[" * 10**5])
def test_a_damaged_summary_is_one_line(out, content):
    write_case(out)
    (out / "summary.json").write_text(content)
    fails(
        "summary.json: is damaged, or no summary of a run. Segment the scans again", read_run, out
    )


# what the manifest holds, what is said of it
DAMAGED = [
    (None, "is missing or damaged"),
    ("", "is missing or damaged"),
    ("[]", "is missing or damaged"),
    ('{"files_sha256": 3}', "is missing or damaged"),
    ('{"scan": "a", "files_sha256": {}}', "lists no label map"),
]


@pytest.mark.parametrize(("content", "said"), DAMAGED)
def test_a_damaged_manifest_is_one_line_of_its_case(out, content, said):
    write_rows(out, write_case(out))
    path = manifest_path(out / "a_seg.nii.gz")
    path.unlink() if content is None else path.write_text(content)
    record = only(out)
    assert record.made
    assert record.fault.startswith(f"{path}: {said}")
    assert "\n" not in record.fault
    assert record.manifest.content == {}


@pytest.mark.parametrize(
    "value", [None, 3, "a", [], [1], {"1": 3}, {"1": [1, "a"]}, {"a": [1, 2, 3]}]
)
def test_values_of_another_kind_count_as_absent(out, value):
    keys = ("settings", "windows", "confidence", "seconds", "mode", "fallback", "warnings")
    write_rows(out, write_case(out, **dict.fromkeys(keys, value)))
    add_to_manifest(out, attention=value)
    record = only(out)
    read = (
        record.manifest.mode,
        record.manifest.fallback,
        record.manifest.windows,
        record.manifest.stages,
        record.manifest.label_names,
    )
    assert all(isinstance(item, (str, dict)) for item in read)
    assert record.manifest.attention == {}
    assert record.manifest.intervals_ml == {}
    confidence = {"intervals_ml": value}
    add_to_manifest(out, confidence=confidence)
    assert only(out).manifest.intervals_ml == {}


def test_numbers_beyond_all_measure_count_as_absent(out):
    labels = {"1": "pancreas", "9" * 5000: "x"}
    write_rows(out, write_case(out, seconds={"read": 10**400}, settings={"labels": labels}))
    assert only(out).manifest.stages == {}
    assert only(out).manifest.label_names == {1: "pancreas"}


@pytest.mark.parametrize("labels", ["../a_seg.nii.gz", "/etc/a.nii.gz", "a_seg.txt", 3, None])
def test_a_row_leads_nowhere_but_into_the_folder(out, labels):
    write_rows(out, row("b", status="failed"), {**row("a"), "labels": labels})
    assert [record.name for record in read_run(out).records] == ["b"]


def add_to_manifest(out, **said):
    path = manifest_path(out / "a_seg.nii.gz")
    path.write_text(json.dumps(json.loads(path.read_text()) | said))
