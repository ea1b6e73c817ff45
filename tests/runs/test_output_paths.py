from pathlib import Path

import pytest

from monai_attn.runs.output_paths import output_paths
from scans import fails, touch

# scans, output, the label maps
OUTPUTS = {
    "a folder": (["a.nii.gz"], "out", ["out/a_seg.nii.gz"]),
    "many scans": (["b.nii.gz", "a.nii"], "out", ["out/b_seg.nii.gz", "out/a_seg.nii.gz"]),
    "a folder that is there": (["a.nii"], "there", ["there/a_seg.nii.gz"]),
    "the scans' own folder": (["a.nii"], ".", ["a_seg.nii.gz"]),
    "a folder with the name of a scan": (["a.nii"], "old.nrrd", ["old.nrrd/a_seg.nii.gz"]),
    "a folder with a dot": (["a.b.nii"], "v1.2", ["v1.2/a.b_seg.nii.gz"]),
    "a file": (["a.nii"], "out/labels.nii.gz", ["out/labels.nii.gz"]),
    "a file, not compressed": (["a.nii"], "labels.NII", ["labels.NII"]),
    "no scan": ([], "out", []),
    "one name in two folders": (
        ["x/ct.nii.gz", "y/ct.nii.gz"],
        "out",
        ["out/x_seg.nii.gz", "out/y_seg.nii.gz"],
    ),
}


@pytest.mark.parametrize(("names", "output", "targets"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_where_labels_go(tmp_path, names, output, targets):
    touch(tmp_path, "there/notes.txt", "old.nrrd/notes.txt", *names)
    before = sorted(tmp_path.rglob("*"))
    scans = [tmp_path / name for name in names]
    planned = output_paths(scans, tmp_path / output)
    assert list(planned.items()) == [
        (scan, tmp_path / target) for scan, target in zip(scans, targets, strict=True)
    ]
    assert sorted(tmp_path.rglob("*")) == before  # nothing is created


# scans, output, what the one line says; {0} is the folder of all
BAD_OUTPUTS = {
    "a kind of file that is only read": (
        ["a.nii"],
        "out/a.nrrd",
        "{0}/out/a.nrrd: labels are written as NIfTI (expected a folder, or a name that ends in .nii.gz)",
    ),
    "two scans, one file": (
        ["a.nii", "b.nii"],
        "out.nii.gz",
        "{0}/out.nii.gz: one file for the labels of 2 scans (expected one scan). Give a folder",
    ),
    "no scan, one file": ([], "out.nii.gz", "{0}/out.nii.gz: one file for the labels of 0 scans"),
    "a file for a folder": (
        ["a.nii"],
        "notes.txt",
        "{0}/notes.txt: is a file (expected a folder, or a name that ends in .nii.gz)",
    ),
    "a folder for a file": (
        ["a.nii"],
        "folder.nii",
        "{0}/folder.nii: is a folder, but has the name of a file",
    ),
    "one name with two suffixes": (
        ["a.nii", "a.nii.gz"],
        "out",
        "{0}/a.nii and {0}/a.nii.gz: the labels of both would be {0}/out/a_seg.nii.gz; one name",
    ),
    "the scan itself": (
        ["a.nii"],
        "a.nii",
        "{0}/a.nii: a scan, and the labels of {0}/a.nii would replace it; a new file expected",
    ),
    "another scan": (
        ["a.nii.gz", "a_seg.nii.gz"],
        ".",
        "{0}/a_seg.nii.gz: a scan, and the labels of {0}/a.nii.gz would replace it; a new file",
    ),
    "the scan through a link": (
        ["a.nii"],
        "link.nii",
        "{0}/link.nii: a scan, and the labels of {0}/a.nii would replace it",
    ),
    "a scan twice": (["a.nii", "b.nii", "a.nii"], "out", "{0}/a.nii: listed twice, also as {0}/a"),
    "a scan and a link to it": (
        ["a.nii", "link.nii"],
        "out",
        "{0}/link.nii: listed twice, also as {0}/a.nii; each scan once expected: leave one out",
    ),
}


def test_a_scan_under_another_name_is_a_scan(tmp_path):
    touch(tmp_path, "a.nii")
    (tmp_path / "b.nii").hardlink_to(tmp_path / "a.nii")
    message = "b.nii: a scan, and the labels of"
    fails(message, output_paths, [tmp_path / "a.nii"], tmp_path / "b.nii")


@pytest.mark.parametrize("row", BAD_OUTPUTS.values(), ids=BAD_OUTPUTS.keys())
def test_outputs_that_cannot_be(tmp_path, row):
    names, output, message = row
    touch(tmp_path, "notes.txt", "folder.nii/notes.txt", "a.nii")
    (tmp_path / "link.nii").symlink_to(tmp_path / "a.nii")
    scans = [tmp_path / name for name in names]
    fails(message.format(tmp_path), output_paths, scans, tmp_path / output)


def test_relative_and_absolute_paths_to_one_scan_are_one(tmp_path, monkeypatch):
    monkeypatch.chdir(touch(tmp_path, "a.nii"))
    scans = [Path("a.nii"), tmp_path / "a.nii"]
    fails(f"{tmp_path}/a.nii: listed twice, also as a.nii; each", output_paths, scans, Path("out"))
