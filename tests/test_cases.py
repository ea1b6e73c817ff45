import json

import pytest

from dicoms import series
from monai_attn.data.cases import find_cases, find_images, pair_cases, split_cases
from scans import fails, touch


def datalist(folder, content, name="dataset.json"):
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    return folder / name


# --- find_images


def test_a_file_stands_for_itself(tmp_path):
    path = touch(tmp_path, "a.nii.gz") / "a.nii.gz"
    assert find_images(path) == find_images(str(path)) == [str(path)]


def test_a_folder_stands_for_its_nifti_files_sorted(tmp_path):
    touch(tmp_path, "b.nii", "a.nii.gz", "C.NII.GZ", "notes.txt", "a.mha", ".hidden.nii.gz")
    touch(tmp_path, "deeper/d.nii", "folder.nii/e.txt")
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


# the datalist, the fault
BAD_DATALISTS = {
    "not JSON": ("{", "not readable as JSON (Expecting property name"),
    "not text": ("\udcff", "not readable as JSON ('utf-8'"),
    "a number": ("3", "3; a list of cases, or an object with sections, expected"),
    "no section": ({"name": "Pancreas", "numTest": 3}, "names no case; one in test, testing, "),
    "empty sections": ({"test": [], "training": []}, "names no case; one in test"),
    "empty list": ([], "names no case"),
    "section not a list": ({"test": "a.nii"}, "test is 'a.nii'; a list of cases expected"),
    "entry without image": (
        [{"label": "a.nii"}],
        "the entry {'label': 'a.nii'} names no image; a ",
    ),
    "image not a path": ([{"image": ["a.nii"]}], "the entry {'image': ['a.nii']} names no image"),
    "empty path": ([""], "the entry '' names no image"),
    "null": ([None], "the entry None names no image"),
    "a null byte": (["a\0.nii"], "the entry 'a\\x00.nii' names no image"),
}


@pytest.mark.parametrize("find", [find_images, find_cases])
@pytest.mark.parametrize(("content", "fault"), BAD_DATALISTS.values(), ids=BAD_DATALISTS.keys())
def test_datalists_that_cannot_be_used(tmp_path, content, fault, find):
    path = tmp_path / "dataset.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    fails(f"{path}: {fault}", find, tmp_path)


def test_a_path_to_nothing_or_to_no_scan_is_named(tmp_path):
    fails(f"{tmp_path}/a.nii: does not exist; check the path", find_images, tmp_path / "a.nii")
    fails(f"{tmp_path}/a.json: does not exist; a datalist", find_images, tmp_path / "a.json")
    touch(tmp_path, "notes.txt", "a.mha")
    fails(f"{tmp_path}: no scan among 2 entries; .nii.gz or .nii files", find_images, tmp_path)
    fails(f"{tmp_path}/a.mha: a NIfTI file (.nii.gz or", find_images, tmp_path / "a.mha")
    fails("https:/there/a.nii: a URL; download it", find_images, "https://there/a.nii")


def test_what_was_made_here_is_no_scan(tmp_path):
    """A folder can be segmented into itself, and that again."""
    touch(tmp_path, "a.nii.gz", "a_seg.nii.gz", "a_seg.manifest.json", "a_attention_1.nii.gz")
    touch(tmp_path, "b_seg.nii.gz", "b_attention_1.nii.gz", ".c.nii.gz")
    names = ["a.nii.gz", "b_attention_1.nii.gz", "b_seg.nii.gz"]
    assert find_images(tmp_path) == [f"{tmp_path}/{name}" for name in names]


def test_attention_beside_labels_of_any_name_is_no_scan(tmp_path):
    touch(tmp_path, "a.nii", "labels.nii", "labels.manifest.json", "labels_attention_1.nii")
    assert find_images(tmp_path) == [f"{tmp_path}/a.nii"]


def test_a_folder_of_both_kinds_gives_both(tmp_path):
    """A stray file among the folders of patients must not hide them."""
    touch(tmp_path, "a.nii", "notes/readme.txt", "patient/notes.txt")
    series(tmp_path / "patient")
    assert find_images(tmp_path) == [f"{tmp_path}/a.nii", f"{tmp_path}/patient"]


def test_a_folder_of_dicom_segs_is_no_scan(tmp_path):
    series(tmp_path / "labels", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    touch(tmp_path, "a.nii")
    assert find_images(tmp_path) == [f"{tmp_path}/a.nii"]


def test_a_pair_of_files_is_one_scan(tmp_path):
    touch(tmp_path, "a.hdr", "a.img", "B.HDR", "B.IMG", "alone.img")
    names = ["B.HDR", "a.hdr", "alone.img"]
    assert find_images(tmp_path) == [f"{tmp_path}/{name}" for name in names]


def test_a_link_to_nothing_is_a_scan_that_fails_and_not_one_that_is_lost(tmp_path):
    (tmp_path / "a.nii").symlink_to(tmp_path / "gone.nii")
    assert find_images(tmp_path) == [f"{tmp_path}/a.nii"]


def test_a_datalist_as_windows_writes_it(tmp_path):
    (tmp_path / "list.json").write_bytes(b'\xef\xbb\xbf["a.nii"]')
    assert find_images(tmp_path / "list.json") == [f"{tmp_path}/a.nii"]


def test_two_scans_of_one_name_are_refused_where_labels_are_written(tmp_path):
    entries = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ct.nii.gz").touch()
        entries.append({"image": f"{folder}/ct.nii.gz", "label": f"{folder}/ct.nii.gz"})
    datalist = tmp_path / "list.json"
    datalist.write_text(json.dumps({"training": entries}))
    assert len(find_cases(datalist)) == 2
    message = r"a/ct\.nii\.gz and .*b/ct\.nii\.gz: both are case ct"
    with pytest.raises(ValueError, match=message):
        find_images(datalist)
    with pytest.raises(ValueError, match=message):
        find_cases(datalist, named_once=True)


def test_one_name_with_two_suffixes_is_one_name(tmp_path):
    for name in ("ct.nii", "ct.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"ct\.nii and .*ct\.nii\.gz: both are case ct"):
        find_images(tmp_path)


# --- find_cases


def test_labelled_cases_are_those_of_the_training_section(tmp_path):
    touch(tmp_path, "i/a.nii", "l/a.nii")
    case = {"image": "i/a.nii", "label": "l/a.nii"}
    expected = [{key: str(tmp_path / name) for key, name in case.items()}]
    content = {"test": ["i/b.nii"], "training": [{**case, "fold": 0}]}
    assert find_cases(datalist(tmp_path, content)) == find_cases(tmp_path) == expected
    assert find_cases(datalist(tmp_path, [case], "list.json")) == expected


def test_cases_that_cannot_train_are_named(tmp_path):
    fails(f"{tmp_path}/dataset.json: does not exist; a datalist (JSON)", find_cases, tmp_path)
    path = datalist(tmp_path, {"training": ["a.nii"]})
    fails(f"{path}: case {tmp_path}/a.nii has no label; one for each case", find_cases, path)
    datalist(tmp_path, {"training": [{"image": "a.nii", "label": "b.nii"}]})
    fails(f"{tmp_path}/a.nii: does not exist, but {path} names it; a file", find_cases, path)
    touch(tmp_path, "a.nii")
    fails(f"{tmp_path}/b.nii: does not exist, but {path} names it; a file", find_cases, path)


# --- split_cases


def cases(count):
    return [{"image": f"{i}.nii", "label": f"{i}_seg.nii"} for i in range(count)]


# cases, fraction, cases held out
SPLITS = [(2, 0.2, 1), (2, 0.99, 1), (10, 0.2, 2), (10, 0.01, 1), (10, 0.99, 9), (5, 0.5, 2)]


@pytest.mark.parametrize(("count", "validation", "held_out"), SPLITS)
def test_a_split_is_complete_and_disjoint(count, validation, held_out):
    split = split_cases(cases(count), validation=validation)
    assert list(split) == ["training", "validation"]
    assert len(split["validation"]) == held_out
    images = [case["image"] for part in split.values() for case in part]
    assert sorted(images) == sorted(case["image"] for case in cases(count))


def test_a_split_is_the_seeds_alone():
    splits = [split_cases(cases(20), seed=seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_a_split_keeps_the_order_and_is_shuffled():
    held_out = [int(case["image"][:-4]) for case in split_cases(cases(20))["validation"]]
    assert held_out == sorted(held_out)
    assert held_out not in ([0, 1, 2, 3], [16, 17, 18, 19])


def test_splits_out_of_bounds():
    with pytest.raises(ValueError, match=r"cases \(=1\) must be two or more"):
        split_cases(cases(1))
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"validation \(={fraction}\) must lie between 0 and"):
            split_cases(cases(4), validation=fraction)


# --- pair_cases

# the prediction's file name, the reference's, the case
NAMES = [
    ("a.nii.gz", "a.nii.gz", "a"),
    ("a_seg.nii.gz", "a.nii.gz", "a"),
    ("a_seg.nii", "a.nii.gz", "a"),
    ("a_seg.NII.GZ", "a.nii.gz", "a"),
    ("a_seg.nii.gz", "a_seg.nii.gz", "a_seg"),
    ("a_seg_seg.nii.gz", "a_seg.nii.gz", "a_seg"),
    ("v1.2_seg.nii.gz", "v1.2.nii", "v1.2"),
]


@pytest.mark.parametrize(("prediction", "reference", "case"), NAMES)
def test_folders_pair_by_case_name(tmp_path, prediction, reference, case):
    out = touch(tmp_path / "out", prediction, "z.nii.gz", "scores.json", "._z.nii.gz")
    labels = touch(tmp_path / "labels", reference, "z.nii.gz", "deeper/b.nii")
    assert pair_cases(str(out), labels) == [
        (case, out / prediction, labels / reference),
        ("z", out / "z.nii.gz", labels / "z.nii.gz"),
    ]


def test_attention_beside_a_label_map_is_no_prediction(tmp_path):
    touch(tmp_path, "out/a_seg.nii.gz", "out/a_attention_1.nii.gz", "labels/a.nii.gz")
    (pair,) = pair_cases(tmp_path / "out", tmp_path / "labels")
    assert pair[0] == "a"
    touch(tmp_path, "labels/a_attention_1.nii.gz")
    assert len(pair_cases(tmp_path / "out", tmp_path / "labels")) == 2


def test_two_files_pair_whatever_their_names(tmp_path):
    touch(tmp_path, "out.nii", "case_7.nii.gz")
    pair = tmp_path / "out.nii", tmp_path / "case_7.nii.gz"
    assert pair_cases(*pair) == [("case_7", *pair)]


# prediction, reference, what the one line says; {0} is the folder of both
BAD_PATHS = [
    ("nowhere", "labels", "{0}/nowhere: no such file or folder; a NIfTI label map or a folder"),
    ("out", "nowhere.nii", "{0}/nowhere.nii: no such file or folder"),
    ("out", "labels/a.nii", "{0}/out: a folder, but {0}/labels/a.nii is a file; two files or"),
    ("labels/a.nii", "out", "{0}/labels/a.nii: a file, but {0}/out is a folder; two files or"),
    ("empty", "labels", "{0}/empty: no NIfTI file among 1 entries; .nii or .nii.gz files"),
    (
        "out",
        "labels",
        "{0}/out and {0}/labels: without reference: {0}/out/b.nii; "
        "without prediction: {0}/labels/c.nii, {0}/labels/d.nii; one prediction per reference",
    ),
    ("labels", "twice", "{0}/twice/a.nii and {0}/twice/a.nii.gz: both are case a; one file per"),
    ("seg", "twice", "{0}/twice/a.nii and {0}/twice/a.nii.gz: both are case a"),
    ("seg", "b", "{0}/seg/b.nii and {0}/seg/b_seg.nii: both are case b; one file per case"),
    ("scan.mha", "labels/a.nii", "{0}/scan.mha: a NIfTI file (.nii.gz or .nii) is expected; "),
    ("labels/a.nii", "scan.mha", "{0}/scan.mha: a NIfTI file (.nii.gz or .nii) is expected; "),
]


@pytest.mark.parametrize(("prediction", "reference", "message"), BAD_PATHS)
def test_paths_that_do_not_pair(tmp_path, prediction, reference, message):
    touch(tmp_path, "out/a_seg.nii", "out/b.nii", "labels/a.nii", "labels/c.nii", "labels/d.nii")
    touch(tmp_path, "twice/a.nii", "twice/a.nii.gz", "empty/notes.txt", "scan.mha")
    touch(tmp_path, "seg/b.nii", "seg/b_seg.nii", "b/b.nii")
    fails(message.format(tmp_path), pair_cases, tmp_path / prediction, tmp_path / reference)
