import json

import pytest

from monai_attn.data.splits import fold_cases, given_split, read_split, split_cases, write_split
from scans import datalist, fails, faults, touch


def cases(count):
    return [{"image": f"{i:02}.nii", "label": f"{i:02}_seg.nii"} for i in range(count)]


def images(part):
    return [case["image"] for case in part]


# --- by chance

# cases, fraction, cases held out
SPLITS = [(2, 0.2, 1), (2, 0.99, 1), (10, 0.2, 2), (10, 0.01, 1), (10, 0.99, 9), (5, 0.5, 2)]


@pytest.mark.parametrize(("count", "validation", "held_out"), SPLITS)
def test_a_split_is_complete_and_disjoint(count, validation, held_out):
    split = split_cases(cases(count), validation=validation)
    assert list(split) == ["training", "validation"]
    assert len(split["validation"]) == held_out
    assert sorted(images([*split["training"], *split["validation"]])) == images(cases(count))


def test_a_split_is_the_seeds_alone():
    splits = [split_cases(cases(20), seed=seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]
    assert split_cases(cases(20)[::-1]) == splits[0]  # whatever the order they were found in


def test_a_split_is_sorted_and_was_shuffled():
    held_out = images(split_cases(cases(20))["validation"])
    assert held_out == sorted(held_out)
    assert held_out not in (images(cases(20)[:4]), images(cases(20)[16:]))


def test_splits_out_of_bounds():
    with pytest.raises(ValueError, match=r"cases \(=1\) must be two or more"):
        split_cases(cases(1))
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"validation \(={fraction}\) must lie between 0 and"):
            split_cases(cases(4), validation=fraction)


# --- in folds


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (10, 5), (11, 5), (7, 7)])
def test_every_case_validates_in_exactly_one_fold(count, folds):
    splits = [fold_cases(cases(count), folds=folds, fold=fold) for fold in range(folds)]
    assert sorted(image for s in splits for image in images(s["validation"])) == images(
        cases(count)
    )
    sizes = [len(split["validation"]) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        assert sorted(images(split["training"] + split["validation"])) == images(cases(count))
        assert split["training"]


def test_folds_are_the_seeds_alone_and_were_shuffled():
    folds = [fold_cases(cases(20), fold=1, seed=seed) for seed in (0, 0, 1)]
    assert folds[0] == folds[1] != folds[2]
    assert fold_cases(cases(20)[::-1], fold=1) == folds[0]
    assert images(folds[0]["validation"]) not in (images(cases(20)[4:8]), images(cases(20)[1::5]))


# cases, folds, fold, the fault
OUT_OF_BOUNDS = [
    (4, 5, 0, r"folds \(=5\) must be 2 or more, and at most the 4 cases: "),
    (4, 1, 0, r"folds \(=1\) must be 2 or more"),  # nothing would train
    (0, 0, 0, r"folds \(=0\) must be 2 or more"),
    (4, 4, 4, r"fold \(=4\) must be 0 to 3: there are 4 folds"),
    (4, 4, -1, r"fold \(=-1\) must be 0 to 3"),
]


@pytest.mark.parametrize(("count", "folds", "fold", "fault"), OUT_OF_BOUNDS)
def test_folds_out_of_bounds(count, folds, fold, fault):
    with pytest.raises(ValueError, match=fault):
        fold_cases(cases(count), folds=folds, fold=fold)


# --- as a datalist gives it


def entries(*names):
    return [{"image": f"{name}.nii", "label": f"{name}_seg.nii"} for name in names]


def files(folder, *names):
    return touch(folder, *(f"{name}{end}.nii" for name in names for end in ("", "_seg")))


def test_a_split_that_was_written_is_read_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(files(tmp_path, "00", "01", "02", "03", "04"))
    split = split_cases(cases(5))
    path = write_split("runs/a/split.json", split)
    monkeypatch.chdir("/")
    assert read_split(tmp_path / path) == {
        part: [{key: f"{tmp_path}/{name}" for key, name in case.items()} for case in group]
        for part, group in split.items()
    }
    assert set(json.loads((tmp_path / path).read_text())) == {"training", "validation"}


def test_a_data_set_may_come_with_its_split(tmp_path):
    content = {"training": entries("a", "b"), "validation": entries("c"), "test": ["d.nii"]}
    datalist(files(tmp_path, "a", "b", "c"), content)
    split = given_split(tmp_path)
    assert [images(split[part]) for part in ("training", "validation")] == [
        [f"{tmp_path}/a.nii", f"{tmp_path}/b.nii"],
        [f"{tmp_path}/c.nii"],
    ]


NO_SPLIT = {
    "one section": {"training": entries("a", "b")},
    "an empty section": {"training": entries("a"), "validation": []},
    "validation without labels": {"training": entries("a"), "validation": ["b.nii"]},
    "a list": entries("a", "b"),
}


@pytest.mark.parametrize("content", NO_SPLIT.values(), ids=NO_SPLIT.keys())
def test_a_datalist_that_gives_no_split(tmp_path, content):
    path = datalist(files(tmp_path, "a", "b"), content, "list.json")
    assert given_split(path) is None
    fails(f"{path}: gives no split; labelled cases in training and in validation", read_split, path)


def test_cases_that_all_validate_are_not_split_anew(tmp_path):
    content = {"training": [], "validation": [{"image": "a.nii", "label": "a_label.nii"}]}
    with pytest.raises(ValueError, match="its labelled cases all validate; some in training"):
        given_split(datalist(tmp_path, content, "list.json"))


def test_folders_give_no_split_and_what_is_not_there_is_named(tmp_path):
    assert given_split(files(tmp_path, "images/a", "labels/a")) is None
    assert given_split(tmp_path / "images") is None
    for call in (given_split, read_split):
        fails(f"{tmp_path}/a.json: does not exist; a datalist", call, tmp_path / "a.json")


def test_a_case_in_both_parts_is_refused_under_whatever_name(tmp_path):
    files(tmp_path, "a", "b", "c")
    (tmp_path / "link.nii").symlink_to(tmp_path / "b.nii")
    linked = {"image": "link.nii", "label": "c_seg.nii"}
    content = {"training": entries("a", "b"), "validation": [*entries("a"), linked]}
    lines = faults(given_split, datalist(tmp_path, content, "list.json"))
    assert [line.split(": ")[0] for line in lines] == [f"{tmp_path}/a.nii", f"{tmp_path}/b.nii"]
    assert "is in training and in validation of " in lines[0]


def test_files_that_a_split_names_must_be_there(tmp_path):
    content = {"training": entries("a"), "validation": [*entries("b"), "c.nii"]}
    lines = faults(given_split, datalist(files(tmp_path, "a"), content, "list.json"))
    assert len(lines) == 4  # no label for c, and three files
