from pathlib import Path

import numpy as np
import pytest

from monai_attn.datasets.cases import find_cases, find_images
from monai_attn.datasets.channel_files import channel_of, join_channels
from monai_attn.datasets.datalist import first_file
from monai_attn.datasets.listed_splits import read_split, write_split
from scans import NNUNET, datalist, faults, save, touch

NAMES = ("T1", "T2")
TWO = NNUNET | {"channel_names": {"0": "T1", "1": "T2"}}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a_0000.nii.gz", ("a", 0)),
        ("a_b_0012.nii", ("a_b", 12)),
        ("a.nii", None),
        ("a_001.nii", None),
        ("a0001.nii", None),
    ],
)
def test_the_number_of_a_channel_ends_the_name(name, found):
    assert channel_of(Path(name)) == found


def test_files_are_joined_by_their_case(tmp_path):
    files = [
        save(tmp_path / name) for name in ("b_0000.nii", "a_0001.nii", "b_0001.nii", "a_0000.nii")
    ]
    assert join_channels(files, NAMES) == [
        (tmp_path / "b_0000.nii", tmp_path / "b_0001.nii"),
        (tmp_path / "a_0000.nii", tmp_path / "a_0001.nii"),
    ]


def test_a_missing_and_a_further_channel_are_named(tmp_path):
    files = [
        save(tmp_path / name) for name in ("a_0000.nii", "b_0000.nii", "b_0001.nii", "b_0002.nii")
    ]
    missing, further = faults(join_channels, files, NAMES)
    assert missing.startswith(
        f"{tmp_path}/a_0001.nii: does not exist, so that case a lacks channel 1, T2"
    )
    assert further.startswith(
        f"{tmp_path}/b_0002.nii: channel 2 in its name (expected 0 to 1: T1, T2)"
    )


def test_as_many_other_files_as_channels_are_one_case_in_their_order(tmp_path):
    t2, t1 = save(tmp_path / "t2.nii"), save(tmp_path / "t1.nii")
    assert join_channels([t2, t1], NAMES) == [(t2, t1)]
    lines = faults(join_channels, [t2, t1, save(tmp_path / "x.nii")], NAMES)
    assert len(lines) == 3
    assert "wrong number of channels (got 1, expected 2: T1, T2, in this order)" in lines[0]


def test_a_file_with_four_dimensions_is_a_case(tmp_path):
    files = [save(tmp_path / f"{name}.nii", np.zeros((3, 3, 3, 2))) for name in ("a", "b_0001")]
    assert join_channels(files, NAMES) == files


def test_nnunet_data_of_two_channels(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
        save(tmp_path / "imagesTr" / f"{name}.nii.gz")
    touch(tmp_path / "labelsTr", "a.nii.gz", "b.nii.gz")
    datalist(tmp_path, TWO)
    first, _ = find_cases(tmp_path)
    images = [f"{tmp_path}/imagesTr/a_{number:04d}.nii.gz" for number in (0, 1)]
    assert first == {"image": images, "label": f"{tmp_path}/labelsTr/a.nii.gz"}
    assert first_file(first) == images[0]
    assert find_images(tmp_path)[0] == images
    (tmp_path / "imagesTr" / "b_0001.nii.gz").unlink()
    for find in (find_cases, find_images):
        (line,) = faults(find, tmp_path)
        assert line.startswith(
            f"{tmp_path}/imagesTr/b_0001.nii.gz: does not exist, so that case b lacks"
        )


def test_folders_without_a_declaration_go_by_the_labels(tmp_path):
    touch(tmp_path / "images", "a_0000.nii", "a_0001.nii", "p_0003.nii")
    touch(tmp_path / "labels", "a.nii", "p_0003.nii")
    (line,) = faults(find_cases, tmp_path)
    assert line.startswith(f"{tmp_path}/images/p_0003_0001.nii: does not exist")
    (tmp_path / "images" / "p_0003.nii").unlink()
    (tmp_path / "labels" / "p_0003.nii").unlink()
    (case,) = find_cases(tmp_path)
    assert case["image"] == [f"{tmp_path}/images/a_000{number}.nii" for number in (0, 1)]


def test_a_loose_folder_is_joined_only_for_a_network_of_several_channels(tmp_path):
    for name in ("a_0000.nii", "a_0001.nii"):
        save(tmp_path / name)
    assert len(find_images(tmp_path)) == 2
    assert len(find_images(tmp_path, ["CT"])) == 2
    assert find_images(tmp_path, NAMES) == [[f"{tmp_path}/a_0000.nii", f"{tmp_path}/a_0001.nii"]]


def test_a_datalist_names_a_list_of_files_for_a_case(tmp_path):
    touch(tmp_path, "t1.nii", "t2.nii", "l.nii", "u1.nii", "u2.nii", "m.nii")
    entries = [
        {"image": ["t1.nii", "t2.nii"], "label": "l.nii"},
        {"image": ["u1.nii", "u2.nii"], "label": "m.nii"},
    ]
    path = datalist(tmp_path, {"training": entries})
    cases = find_cases(path)
    assert cases[0]["image"] == [f"{tmp_path}/t1.nii", f"{tmp_path}/t2.nii"]
    split = {"training": cases[:1], "validation": cases[1:]}
    assert read_split(write_split(tmp_path / "split.json", split)) == split
    (tmp_path / "t2.nii").unlink()
    (line,) = faults(find_cases, path)
    assert line.startswith(f"{tmp_path}/t2.nii: does not exist")
