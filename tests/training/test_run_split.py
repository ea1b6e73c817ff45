"""The split of a training: folds, groups and visits."""

import json

import pytest

from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.listed_splits import read_split
from monai_attn.training.run import prepare
from tests.training.training_runs import TINY, request_for, scan_name, train


def test_folds_cover_all_cases(own_phantoms, tiny_bundle, tmp_path):
    held_out = []
    for fold in range(2):
        run = tmp_path / f"fold{fold}"
        prepare(run, request_for(own_phantoms, tiny_bundle, fold=fold, folds=2))
        split = read_split(run / "split.json")
        assert len(split["training"]) == 2
        held_out += [case["image"] for case in split["validation"]]
    assert sorted(held_out) == sorted(case["image"] for case in find_cases(own_phantoms))


def test_folds_and_a_split_of_its_own_exclude_each_other(own_phantoms, tiny_bundle, tmp_path):
    cases = find_cases(own_phantoms)
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"training": cases[:3], "validation": cases[3:]}))
    with pytest.raises(ValueError, match=r"list\.json: defines its own validation cases"):
        prepare(tmp_path / "run", request_for(listed, tiny_bundle, fold=0, folds=2))
    prepare(tmp_path / "run", request_for(listed, tiny_bundle))
    assert len(read_split(tmp_path / "run" / "split.json")["validation"]) == 1


def listed(data, path, **keys):
    """A datalist of a data set's four cases, each with its value of every key; None leaves it out."""
    cases = find_cases(data)
    for key, values in keys.items():
        for case, value in zip(cases, values, strict=True):
            case.update({} if value is None else {key: value})
    path.write_text(json.dumps({"training": cases}))
    return path


def held_out(run):
    """The numbers of the phantoms that validate."""
    return sorted(
        scan_name(case["image"])[-1] for case in read_split(run / "split.json")["validation"]
    )


@pytest.mark.parametrize(("fold", "validates"), [(0, ["5", "6"]), (1, ["7", "8"])])
@pytest.mark.parametrize("folds", [None, 2])
def test_the_folds_of_an_auto3dseg_datalist_are_trained(
    own_phantoms, tiny_bundle, tmp_path, fold, folds, validates
):
    source = listed(own_phantoms, tmp_path / "folds.json", fold=[0, 0, 1, 1])
    doubts = prepare(tmp_path / "run", request_for(source, tiny_bundle, fold=fold, folds=folds))
    assert held_out(tmp_path / "run") == validates
    assert doubts == ()


def test_the_first_fold_validates_where_none_is_chosen_and_a_line_says_so(
    own_phantoms, tiny_bundle, tmp_path
):
    source = listed(own_phantoms, tmp_path / "folds.json", fold=[1, 0, 1, 0])
    (doubt,) = prepare(tmp_path / "run", request_for(source, tiny_bundle))
    assert "its datalist gives the folds 0, 1, and none was chosen. Fold 0 validates" in doubt
    assert held_out(tmp_path / "run") == ["6", "8"]


# keys of the cases, what is asked for, the fault
UNFIT = [
    ({"fold": [0, 0, 1, 1]}, {"folds": 3}, "its datalist gives 2 folds .0, 1., not 3"),
    (
        {"fold": [0, 0, 1, None]},
        {"fold": 0},
        "has no fold .* 1 of 4 cases|has no fold in its datal",
    ),
    ({"fold": [0, 0, 1, -1]}, {"fold": 0}, "has an invalid fold .got -1,"),
    (
        {"fold:": [0, 0, 1, 1]},
        {"fold": 0, "folds": 2},
        "an unknown key .got 'fold:', expected 'fold'",
    ),
    ({"groups": [0, 0, 1, 1]}, {}, "an unknown key .got 'groups', expected 'group'"),
    ({"fold": [0, 0, 1, 1], "group": "abbc"}, {"fold": 0}, "phantom_0006 .fold 0., phantom_0007"),
    ({"group": "aabb"}, {"fold": 0, "folds": 3}, "at most the 2 patients"),
    ({"patient": ["a", None, "b", None]}, {}, "phantom_0006.nii.gz: has no patient"),
    ({"patient": "aabb"}, {"group": "(.+)"}, "the group pattern gives another"),
    (
        {},
        {"group": "^case"},
        "phantom_0005.nii.gz: group pattern .case finds no patient in the name phan",
    ),
    ({}, {"group": "("}, "group pattern .: not a regular expression"),
    ({}, {"group": "phantom"}, "all 4 cases are of one patient"),
]


@pytest.mark.parametrize(("keys", "more", "said"), UNFIT)
def test_folds_and_groups_that_do_not_fit_are_refused(
    own_phantoms, tiny_bundle, tmp_path, keys, more, said
):
    source = listed(own_phantoms, tmp_path / "list.json", **keys)
    with pytest.raises(ValueError, match=said) as raised:
        prepare(tmp_path / "run", request_for(source, tiny_bundle, **more))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_patients_and_not_files_are_split(own_phantoms, tiny_bundle, tmp_path):
    source = listed(own_phantoms, tmp_path / "list.json", patient="abab")
    for request, expected in (
        (request_for(source, tiny_bundle, validation=0.5), (["5", "7"], ["6", "8"])),
        (request_for(source, tiny_bundle), (["5", "7"], ["6", "8"])),
        (request_for(source, tiny_bundle, fold=1, folds=2), (["5", "7"], ["6", "8"])),
        (
            request_for(own_phantoms, tiny_bundle, fold=1, folds=4, group="(.+)"),
            (["5"], ["6"], ["7"], ["8"]),
        ),
    ):
        run = tmp_path / str(len([*tmp_path.iterdir()]))
        prepare(run, request)
        assert held_out(run) in expected


def test_visits_are_warned_about_once_and_patients_silence_it(own_phantoms, tiny_bundle, tmp_path):
    for path in (*own_phantoms.glob("*/phantom_*"), own_phantoms / "dataset.json"):
        if path.suffix == ".json":
            path.unlink()
        else:
            number = int(path.name[-8])
            path.rename(path.with_name(f"p{number // 2}_t{number % 2}.nii.gz"))
    (doubt,) = prepare(tmp_path / "a", request_for(own_phantoms, tiny_bundle))
    assert "p3_t0 and p3_t1 look like scans of one patient" in doubt
    assert "group pattern '^(.+)[-_]'" in doubt
    assert prepare(tmp_path / "b", request_for(own_phantoms, tiny_bundle, group="^(.+)[-_]")) == ()
    assert read_split(tmp_path / "b" / "split.json")["validation"]


def test_the_pattern_is_an_option_and_a_training_goes_on_with_it(
    two_epoch_run, tiny_bundle, phantoms
):
    run, _ = two_epoch_run
    words = (phantoms, "-o", run, "--bundle", tiny_bundle, "--label", "1=pancreas", *TINY)
    with pytest.raises(ValueError, match=r"another group .*got \"\(\.\+\)\", expected null"):
        train(*words, "--resume", "--group", "(.+)")
