"""What a path stands for. The parts have tests of their own: folders, layouts, datalists."""

import pytest

from dicoms import series
from monai_attn.datasets.cases import find_cases, find_images, find_named, named_images
from scans import NNUNET, datalist, fails, faults, touch


def named(source):
    """The names of the scans, by their paths from the folder of the source."""
    folder = source if source.is_dir() else source.parent
    return {str(scan.relative_to(folder)): name for scan, name in named_images(source).items()}


# --- find_images


def test_a_file_stands_for_itself(tmp_path):
    path = touch(tmp_path, "a.nii.gz") / "a.nii.gz"
    assert find_images(path) == find_images(str(path)) == [str(path)]


def test_a_folder_stands_for_its_nifti_files_sorted(tmp_path):
    touch(tmp_path, "b.nii", "a.nii.gz", "C.NII.GZ", "notes.txt", "a.mnc", ".hidden.nii.gz")
    touch(tmp_path, "folder.nii/e.txt", "labels/f.nii")
    assert find_images(tmp_path) == [str(tmp_path / n) for n in ("C.NII.GZ", "a.nii.gz", "b.nii")]


# the datalist, the scans it stands for
DATALISTS = {
    "Decathlon": (
        {"training": [{"image": "./i/a.nii", "label": "./l/a.nii"}], "test": ["./i/b.nii"]},
        ["i/b.nii"],
    ),
    "no test": ({"test": [], "training": [{"image": "a.nii", "label": "l.nii"}]}, ["a.nii"]),
    "testing": ({"training": ["a.nii"], "testing": [{"image": "t.nii"}]}, ["t.nii"]),
    "testing over validation": ({"validation": ["v.nii"], "testing": ["t.nii"]}, ["t.nii"]),
    "validation": ({"training": ["a.nii"], "validation": ["v.nii"]}, ["v.nii"]),
    "a list of paths": (["b.nii", "a.nii"], ["b.nii", "a.nii"]),
    "a list of cases": ([{"image": "b.nii"}, {"image": "a.nii", "fold": 1}], ["b.nii", "a.nii"]),
    "an absolute path": (["/data/a.nii"], ["/data/a.nii"]),
}


@pytest.mark.parametrize(("content", "expected"), DATALISTS.values(), ids=DATALISTS.keys())
def test_a_datalist_stands_for_its_best_section(tmp_path, content, expected):
    expected = [str(tmp_path / name) for name in expected]
    assert find_images(datalist(tmp_path, content, "mine.json")) == expected
    datalist(tmp_path, content)  # as dataset.json, in a folder
    touch(tmp_path, "stray.nii")
    assert find_images(tmp_path) == expected


# the files, what dataset.json holds or None, the scans it stands for
DATA_SETS = {
    "nnU-Net": (
        ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"],
        NNUNET,
        ["imagesTr/a_0000.nii.gz"],
    ),
    "nnU-Net with scans to test": (
        ["imagesTr/a_0000.nii.gz", "imagesTs/b_0000.nii.gz", "imagesTs/c_0000.nii.gz"],
        NNUNET,
        ["imagesTs/b_0000.nii.gz", "imagesTs/c_0000.nii.gz"],
    ),
    "nnU-Net with nothing to test": (
        ["imagesTr/a_0000.nii.gz", "imagesTs/readme.txt"],
        NNUNET,
        ["imagesTr/a_0000.nii.gz"],
    ),
    "without dataset.json": (["imagesTr/a.nii", "imagesTs/b.nii"], None, ["imagesTs/b.nii"]),
    "images": (["images/b.nii", "images/a.nii.gz"], None, ["images/a.nii.gz", "images/b.nii"]),
}


@pytest.mark.parametrize(("files", "dataset", "expected"), DATA_SETS.values(), ids=DATA_SETS.keys())
def test_a_data_set_stands_for_its_scans_to_segment(tmp_path, files, dataset, expected):
    touch(tmp_path, *files)
    if dataset:
        datalist(tmp_path, dataset)
    assert find_images(tmp_path) == [f"{tmp_path}/{name}" for name in expected]


def test_a_path_to_nothing_or_to_no_scan_is_named(tmp_path):
    fails(f"{tmp_path}/a.nii: does not exist; check the path", find_images, tmp_path / "a.nii")
    fails(f"{tmp_path}/a.json: does not exist (expected", find_images, tmp_path / "a.json")
    touch(tmp_path, "notes.txt", "a.mnc")
    fails(f"{tmp_path}: no scan among 2 entries (expected files in NIfTI", find_images, tmp_path)
    fails(f"{tmp_path}/a.mnc: a scan in NIfTI (.nii.gz or", find_images, tmp_path / "a.mnc")
    fails("https:/there/a.nii: is a URL; download the file", find_images, "https://there/a.nii")


def test_two_scans_of_one_name_in_a_datalist_are_named_after_their_folders(tmp_path):
    touch(tmp_path, "a/ct.nii.gz", "b/ct.nii.gz", "a/l.nii", "b/l.nii")
    entries = [{"image": f"{f}/ct.nii.gz", "label": f"{f}/l.nii"} for f in ("a", "b")]
    path = datalist(tmp_path, {"training": entries}, "list.json")
    assert len(find_cases(path, named_once=True)) == 2
    assert named(path) == {"a/ct.nii.gz": "a", "b/ct.nii.gz": "b"}


def test_a_tree_is_a_batch_whose_cases_are_named_by_their_folders(tmp_path):
    touch(tmp_path, "s0001/ct.nii.gz", "s0002/ct.nii.gz", "s0001/segmentations/liver.nii.gz")
    assert named(tmp_path) == {"s0001/ct.nii.gz": "s0001", "s0002/ct.nii.gz": "s0002"}


def test_several_sources_are_named_together(tmp_path):
    touch(
        tmp_path, "s0001/ct.nii.gz", "s0002/ct.nii.gz", "s0002/segmentations/liver.nii.gz", "b.nii"
    )
    scans, names = find_named([tmp_path / "s0002", tmp_path / "s0001" / "ct.nii.gz"])
    assert [names[scan] for scan in scans] == ["s0002", "s0001"]
    scans, names = find_named([tmp_path / "s0001", tmp_path / "b.nii"])
    assert [names[scan] for scan in scans] == ["ct", "b"]


def test_one_name_with_two_suffixes_is_one_name(tmp_path):
    touch(tmp_path, "ct.nii", "ct.nii.gz")
    fails(f"ct.nii and {tmp_path}/ct.nii.gz: both are case ct", find_images, tmp_path)


# --- find_cases


def test_labelled_cases_are_those_of_the_training_section(tmp_path):
    touch(tmp_path, "i/a.nii", "l/a.nii")
    case = {"image": "i/a.nii", "label": "l/a.nii"}
    expected = [{key: str(tmp_path / name) for key, name in case.items()}]
    content = {"test": ["i/b.nii"], "training": [{**case, "centre": 3}]}
    assert find_cases(datalist(tmp_path, content)) == find_cases(tmp_path) == expected
    assert find_cases(datalist(tmp_path, [case], "list.json")) == expected


def test_a_list_of_cases_is_no_layout_though_the_folders_are_called_so(tmp_path):
    touch(tmp_path, "imagesTr/a.nii", "labelsTr/a.nii", "imagesTr/b.nii", "labelsTr/b.nii")
    datalist(tmp_path, {"training": [{"image": "imagesTr/b.nii", "label": "labelsTr/b.nii"}]})
    (case,) = find_cases(tmp_path)
    assert case["image"] == f"{tmp_path}/imagesTr/b.nii"


def test_the_data_sets_of_nnunet_are_named_by_folder_or_by_file(tmp_path):
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    path = datalist(tmp_path, NNUNET)
    expected = [
        {"image": f"{tmp_path}/imagesTr/a_0000.nii.gz", "label": f"{tmp_path}/labelsTr/a.nii.gz"}
    ]
    assert find_cases(tmp_path) == find_cases(path) == expected


def test_cases_that_cannot_train_are_named_at_once(tmp_path):
    fails(f"{tmp_path}: no data set (expected a dataset.json, or the folders", find_cases, tmp_path)
    fails(f"{tmp_path}/a.json: does not exist (expected", find_cases, tmp_path / "a.json")
    content = {"training": ["a.nii", {"image": "b.nii", "label": "c.nii"}]}
    lines = faults(find_cases, datalist(tmp_path, content))
    assert [line.split(": ")[0] for line in lines] == [
        f"{tmp_path}/{name}" for name in ("dataset.json", "a.nii", "b.nii", "c.nii")
    ]


def test_series_of_one_folder_are_named_by_pseudonyms(tmp_path):
    for patient in ("P2", "P3"):
        files = [f"{patient}_{slice_}" for slice_ in range(3)]
        uids = {"StudyInstanceUID": f"1.{patient[1]}", "SeriesInstanceUID": f"1.{patient[1]}.1"}
        uids |= {"SeriesNumber": 1, "SeriesDescription": "portal venous"}
        series(tmp_path / "flat", names=files, PatientID=patient, **uids)
    series(tmp_path / "own", PatientID="P4", SeriesDescription="native")
    names = [*named_images(tmp_path).values()]
    assert [name[:13] for name in names[:2]] == ["flat_patient-"] * 2
    assert len({*names}) == 3
    assert names[2] == "own"
    chosen = named_images(tmp_path, pattern="{patient}_{description}")
    assert [*chosen.values()] == ["P2_portal-venous", "P3_portal-venous", "P4_native"]
    one = named_images(tmp_path / "flat", series="1.3.1")
    assert one == {tmp_path / "flat" / "1.3.1": "flat"}
    lines = faults(named_images, tmp_path, pattern="{number}_{date}")
    assert "1_unknown" in lines[0]
