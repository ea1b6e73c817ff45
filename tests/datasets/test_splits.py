"""Splits into training and validation cases: by chance, in folds, of patients."""

import pytest

from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.splits import choose_split, fold_cases, split_cases
from monai_attn.io.errors import ScanWarning
from scans import datalist, fails, faults
from tests.datasets.named_cases import images_of, named_cases, numbered_cases, touch_cases

# --- by chance

# cases, fraction, cases held out
SPLITS = [(2, 0.2, 1), (2, 0.99, 1), (10, 0.2, 2), (10, 0.01, 1), (10, 0.99, 9), (5, 0.5, 2)]


@pytest.mark.parametrize(("count", "validation", "held_out"), SPLITS)
def test_a_split_is_complete_and_disjoint(count, validation, held_out):
    split = split_cases(numbered_cases(count), validation=validation)
    assert list(split) == ["training", "validation"]
    assert len(split["validation"]) == held_out
    assert sorted(images_of([*split["training"], *split["validation"]])) == images_of(
        numbered_cases(count)
    )


def test_a_split_is_the_seeds_alone():
    splits = [split_cases(numbered_cases(20), seed=seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]
    assert (
        split_cases(numbered_cases(20)[::-1]) == splits[0]
    )  # whatever the order they were found in


def test_a_split_is_sorted_and_was_shuffled():
    held_out = images_of(split_cases(numbered_cases(20))["validation"])
    assert held_out == sorted(held_out)
    assert held_out not in (images_of(numbered_cases(20)[:4]), images_of(numbered_cases(20)[16:]))


def test_splits_out_of_bounds():
    with pytest.raises(ValueError, match=r"cases \(=1\) must be two or more"):
        split_cases(numbered_cases(1))
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"validation \(={fraction}\) must lie between 0 and"):
            split_cases(numbered_cases(4), validation=fraction)


def numbers(part):
    """Which of `cases` a part holds."""
    return [int(case["image"][:2]) for case in part]


def test_a_split_is_that_of_earlier_versions():
    held_out = split_cases(numbered_cases(13), validation=0.3, seed=3)["validation"]
    assert numbers(held_out) == [2, 9, 11, 12]
    folds = [
        fold_cases(numbered_cases(13), folds=4, fold=k, seed=2)["validation"] for k in range(4)
    ]
    assert [numbers(fold) for fold in folds] == [[1, 2, 5, 6], [3, 9, 10], [4, 7, 12], [0, 8, 11]]


# --- in folds


@pytest.mark.parametrize(("count", "folds"), [(2, 2), (10, 5), (11, 5), (7, 7)])
def test_every_case_validates_in_exactly_one_fold(count, folds):
    splits = [fold_cases(numbered_cases(count), folds=folds, fold=fold) for fold in range(folds)]
    assert sorted(image for s in splits for image in images_of(s["validation"])) == images_of(
        numbered_cases(count)
    )
    sizes = [len(split["validation"]) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        assert sorted(images_of(split["training"] + split["validation"])) == images_of(
            numbered_cases(count)
        )
        assert split["training"]


def test_folds_are_the_seeds_alone_and_were_shuffled():
    folds = [fold_cases(numbered_cases(20), fold=1, seed=seed) for seed in (0, 0, 1)]
    assert folds[0] == folds[1] != folds[2]
    assert fold_cases(numbered_cases(20)[::-1], fold=1) == folds[0]
    assert images_of(folds[0]["validation"]) not in (
        images_of(numbered_cases(20)[4:8]),
        images_of(numbered_cases(20)[1::5]),
    )


# cases, folds, fold, the fault
OUT_OF_BOUNDS = [
    (4, 5, 0, r"folds \(=5\) must be 2 or more, and at most the 4 cases, "),
    (4, 1, 0, r"folds \(=1\) must be 2 or more"),  # nothing would train
    (0, 0, 0, r"folds \(=0\) must be 2 or more"),
    (4, 4, 4, r"fold \(=4\) must be 0 to 3: there are 4 folds"),
    (4, 4, -1, r"fold \(=-1\) must be 0 to 3"),
]


@pytest.mark.parametrize(("count", "folds", "fold", "fault"), OUT_OF_BOUNDS)
def test_folds_out_of_bounds(count, folds, fold, fault):
    with pytest.raises(ValueError, match=fault):
        fold_cases(numbered_cases(count), folds=folds, fold=fold)


# --- of patients


def of(*sizes, key="group"):
    """Cases of patients with so many each, the patients' cases not next to each other."""
    groups = [f"p{k}" for turn in range(max(sizes)) for k, size in enumerate(sizes) if turn < size]
    return [
        {**case, key: group}
        for case, group in zip(numbered_cases(len(groups)), groups, strict=True)
    ]


def patients(part, grouped):
    """The patients of a part, whose cases must all be in it."""
    whose = {case["image"]: case.get("group", case.get("patient")) for case in grouped}
    held = {whose[image] for image in images_of(part)}
    assert sorted(images_of(part)) == [
        case["image"] for case in grouped if whose[case["image"]] in held
    ]
    return held


# sizes of the patients, fraction, cases held out
GROUPED = [
    ((1, 1), 0.5, 1),
    ((3, 3, 3, 3), 0.25, 3),
    ((3, 3, 3, 3), 0.5, 6),
    ((2, 2, 2, 2, 2), 0.3, 2),  # 3 cases are wanted
    ((9, 1), 0.5, 1),
    ((5, 4), 0.2, 4),  # the smallest, as none fits
    ((1,) * 10, 0.2, 2),
]


@pytest.mark.parametrize("key", ["group", "patient"])
@pytest.mark.parametrize(("sizes", "validation", "held_out"), GROUPED)
def test_a_patient_is_on_one_side_of_a_split(sizes, validation, held_out, key):
    grouped = of(*sizes, key=key)
    for seed in range(5):
        split = split_cases(grouped, validation=validation, seed=seed)
        assert len(split["validation"]) == held_out
        assert patients(split["training"], grouped).isdisjoint(
            patients(split["validation"], grouped)
        )
        assert split == split_cases(grouped[::-1], validation=validation, seed=seed)
        assert all(case.keys() == {"image", "label"} for part in split.values() for case in part)


# sizes of the patients, sizes of the folds
DEALT = [
    ((1, 1, 1, 1), [2, 2]),
    ((3, 1, 1, 1), [3, 3]),
    ((4, 3, 3), [4, 6]),
    ((5, 4, 3, 2, 1), [8, 7]),
    ((2, 2, 2), [2, 2, 2]),
    ((9, 1, 1), [9, 1, 1]),
]


@pytest.mark.parametrize(("sizes", "expected"), DEALT)
def test_folds_of_patients_are_balanced(sizes, expected):
    grouped = of(*sizes)
    for seed in range(5):
        splits = [
            fold_cases(grouped, folds=len(expected), fold=k, seed=seed)
            for k in range(len(expected))
        ]
        assert [len(split["validation"]) for split in splits] == expected
        held_out = [patients(split["validation"], grouped) for split in splits]
        assert sorted(p for held in held_out for p in held) == sorted({c["group"] for c in grouped})
        assert splits[0] == fold_cases(grouped[::-1], folds=len(expected), fold=0, seed=seed)


def test_folds_of_patients_are_shuffled_by_the_seed():
    grouped = of(*[2] * 10)
    assert fold_cases(grouped, seed=0) == fold_cases(grouped, seed=0) != fold_cases(grouped, seed=1)


@pytest.mark.parametrize("seed", range(3))
def test_a_patient_for_each_case_changes_nothing(seed):
    plain = numbered_cases(13)
    grouped = [{**case, "group": case["image"]} for case in plain]
    assert split_cases(grouped, seed=seed) == split_cases(plain, seed=seed)
    for fold in range(5):
        assert fold_cases(grouped, fold=fold, seed=seed) == fold_cases(plain, fold=fold, seed=seed)


def test_too_few_patients():
    fails("00.nii: all 4 cases are of one patient (expected two", split_cases, of(4))
    fails("folds (=3) must be 2 or more, and at most the 2 pat", fold_cases, of(4, 4), folds=3)


def test_a_case_whose_patient_is_not_said_is_named():
    grouped = of(2, 2, 2)
    for place in (1, 4):
        del grouped[place]["group"]
    for call in (split_cases, fold_cases):
        fails(
            "01.nii: has no group in its datalist, but others do (2 of 6 cases lack", call, grouped
        )


@pytest.mark.parametrize("call", [split_cases, fold_cases])
def test_names_that_look_like_several_visits_are_warned_about(call):
    visits = [{"image": f"p{k}_t{t}.nii.gz"} for k in range(5) for t in (1, 2)]
    with pytest.warns(ScanWarning) as warned:
        call(visits)
    (message,) = [str(warning.message) for warning in warned]
    assert message.startswith("p0_t1.nii.gz: p0_t1 and p0_t2 look like scans of one patient. ")
    assert "group pattern '^(.+)[-_]'" in message
    call([{**case, "group": case["image"][:2]} for case in visits])  # without a warning


# --- by the folds of a datalist


def listed_folds(*folds, **more):
    return [
        {**case, "fold": str(fold)}
        for case, fold in zip(numbered_cases(len(folds)), folds, strict=True)
    ]


@pytest.mark.parametrize("fold", [0, 1, 2])
@pytest.mark.parametrize("folds", [None, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_folds_of_a_datalist_are_the_folds(fold, folds, seed):
    listed = listed_folds(0, 1, 2, 0, 1, 2, 2)
    split = fold_cases(listed, folds=folds, fold=fold, seed=seed)
    assert numbers(split["validation"]) == [[0, 3], [1, 4], [2, 5, 6]][fold]
    assert sorted(numbers(split["training"] + split["validation"])) == [*range(7)]
    assert all(case.keys() == {"image", "label"} for part in split.values() for case in part)


def test_the_first_fold_validates_by_default_and_that_is_said():
    for listed, first in ((listed_folds(1, 0, 1, 0), 0), (listed_folds(2, 1, 2, 1), 1)):
        doubt = f"datalist gives the folds {first}, {first + 1}, .* Fold {first} validates"
        with pytest.warns(ScanWarning, match=doubt):
            assert numbers(split_cases(listed)["validation"]) == [1, 3]


# the folds of the cases, the options, the fault
BAD_FOLDS = [
    ((0, 0, 1, 1), {"folds": 5}, "its datalist gives 2 folds (0, 1), not 5. "),
    ((0, 0, 1, 1), {"fold": 2}, "its datalist gives 2 folds (0, 1), but not fold 2. "),
    ((0, 0, 2, 2), {"fold": 1}, "its datalist gives 2 folds (0, 2), but not fold 1. "),
    ((0, 0, 0, 0), {}, "its datalist gives 1 folds (0), but one must validate and another train"),
]


@pytest.mark.parametrize(("folds", "options", "fault"), BAD_FOLDS)
def test_folds_of_a_datalist_that_do_not_fit(folds, options, fault):
    fails(f"00.nii: {fault}", fold_cases, listed_folds(*folds), **options)


def test_a_case_without_a_fold_is_named():
    listed = listed_folds(0, 0, 1, 1)
    del listed[2]["fold"]
    for call in (split_cases, fold_cases):
        fails("02.nii: has no fold in its datalist, but others do (1 of 4 cases lack", call, listed)


def test_a_patient_in_two_folds_is_refused():
    listed = [{**case, "fold": str(k % 2)} for k, case in enumerate(of(2, 2, 1))]  # 0 1 2 0 1
    lines = faults(fold_cases, listed)
    assert [line.split(": ")[0] for line in lines] == ["00.nii", "01.nii"]
    assert "cases of one patient on both sides of the split: 00 (fold 0), 03 (fold 1) " in lines[0]
    assert "p0" not in lines[0], "a group may be a patient's name"


# --- chosen


def test_a_bundle_alone_keeps_patients_together_and_folds_as_they_are(tmp_path):
    whose = [{**case, "group": k % 2} for k, case in enumerate(named_cases(*"abcd"))]
    path = datalist(touch_cases(tmp_path, *"abcd"), {"training": whose})
    assert len(split_cases(find_cases(path), validation=0.25)["validation"]) == 2
    folds = [{**case, "fold": k % 2} for k, case in enumerate(named_cases(*"abcd"))]
    found = find_cases(datalist(tmp_path, {"training": folds}))
    with pytest.warns(ScanWarning, match="Fold 0 validates"):
        split = split_cases(found, validation=0.1, seed=3)
    assert images_of(split["validation"]) == [f"{tmp_path}/a.nii", f"{tmp_path}/c.nii"]


# the folds of the cases in a datalist, the options, which cases validate
CHOSEN = [
    ((0, 0, 1, 1), {"fold": 1}, "cd"),
    ((0, 0, 1, 1), {"fold": 0, "folds": 2}, "ab"),
    ((0, 1, 1, 1), {"fold": 0, "group": "(.)"}, "a"),
]


@pytest.mark.parametrize(("folds", "options", "validates"), CHOSEN)
def test_the_fold_of_a_datalist_can_be_chosen(tmp_path, folds, options, validates):
    listed = [{**c, "fold": fold} for c, fold in zip(named_cases(*"abcd"), folds, strict=True)]
    path = datalist(touch_cases(tmp_path, *"abcd"), {"training": listed, "testing": ["x.nii"]})
    expected = [f"{tmp_path}/{name}.nii" for name in validates]
    assert images_of(choose_split(path, **options)["validation"]) == expected


def test_folds_need_to_know_which_validates(tmp_path):
    path = datalist(touch_cases(tmp_path, *"abc"), {"training": named_cases(*"abc")})
    fails(f"{path}: 3 folds, but none is chosen", choose_split, path, folds=3)
    assert len(choose_split(path, fold=0, folds=3)["validation"]) == 1
    fails("folds (=5) must be 2 or more, and at most the 3 cases", choose_split, path, fold=0)
