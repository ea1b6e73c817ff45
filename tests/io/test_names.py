from pathlib import Path

import pytest

from monai_attn.io.names import (
    attention_path,
    case_name,
    check_length,
    check_name,
    entropy_path,
    labels_name,
    manifest_path,
    real_path,
)
from scans import fails

NAMES = [
    ("a.nii.gz", "a"),
    ("/x/a.b.nii", "a.b"),
    ("A.NII.GZ", "A"),
    ("a.nii.nii.gz", "a.nii"),
    ("a.hdr", "a"),
    ("a.img", "a"),
    ("/x/series", "series"),
    ("$a@b%.nii", "$a@b%"),
]


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_a_case_is_named_after_its_file(path, name):
    assert case_name(path) == name


def test_a_folder_is_called_what_it_is_called_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert case_name(".") == tmp_path.name
    assert case_name("..") == tmp_path.parent.name


@pytest.mark.parametrize("path", ["a", "a.gz", "a.nii.bz2", "nii", ".nii", ".nii.gz", "a.mnc"])
def test_a_name_that_is_not_of_a_scan(path):
    fails(
        f"{path}: a scan in NIfTI (.nii.gz or .nii), NRRD, MetaImage",
        check_name,
        path,
    )


def test_a_slice_of_a_series_is_not_the_series():
    for path in ("a.dcm", "A.DCM", "a.IMA"):
        fails(
            f"{path}: a single DICOM file; give the folder that holds the whole", check_name, path
        )


@pytest.mark.parametrize("path", ["a", "a.hdr", "a.img", ".nii.gz"])
def test_a_label_map_is_one_file(path):
    assert labels_name("x/a.nii.gz") == "a"
    fails(
        f"{path}: the name of a label map must end in .nii.gz or .nii; give another",
        labels_name,
        path,
    )


def test_what_lies_beside_a_label_map():
    assert manifest_path(Path("out/a_seg.nii.gz")) == Path("out/a_seg.manifest.json")
    assert manifest_path(Path("out/a.nii")) == Path("out/a.manifest.json")
    assert attention_path(Path("out/a_seg.nii.gz"), 2) == Path("out/a_attention_2.nii.gz")


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_a_name_may_have_255_bytes_and_so_may_those_beside_it(tmp_path, letter):
    room = 255 - len("_seg.manifest.json")
    name = letter * (room // len(letter.encode()))
    target = tmp_path / f"{name}_seg.nii.gz"
    check_length(target)
    target.touch()
    manifest_path(target).touch()
    longer = tmp_path / f"{name}{letter}_seg.nii.gz"
    fails("bytes (limit 255); rename", check_length, longer)
    with pytest.raises(OSError, match="too long"):
        manifest_path(longer).touch()


def test_the_names_of_attention_maps_count_too(tmp_path):
    target = tmp_path / f"{'a' * 237}_seg.nii.gz"
    check_length(target)
    fails("has 256 bytes (limit 255)", check_length, target, [1])


def test_the_name_of_the_entropy_counts_too(tmp_path):
    room = 255 - len("_entropy.nii.gz")
    for length in (room, room + 1):
        target = tmp_path / f"{'a' * length}.nii.gz"
        assert len(entropy_path(target).name) == length + len("_entropy.nii.gz")
    check_length(tmp_path / f"{'a' * (room - 4)}.nii.gz", entropy=True)
    target = tmp_path / f"{'a' * (255 - len('.manifest.json'))}.nii.gz"
    check_length(target)
    fails("has 256 bytes (limit 255)", check_length, target, entropy=True)


def test_a_loop_of_links_leads_somewhere(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert real_path(tmp_path / "a").parent == real_path(tmp_path)
