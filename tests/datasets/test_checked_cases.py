import time
import warnings

import numpy as np
import pytest

from monai_attn.datasets.checked_cases import check_cases, count_labels
from monai_attn.io.scan import read_grid
from scans import AFFINE, SHAPE, fails, faults, save

NOISE = np.random.default_rng(0).normal(40, 20, (3, *SHAPE)).astype(np.int16)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:3, 1, 1] = 2, 5


def write(folder, count=3, labels=LABELS):
    """Cases whose images differ; their label maps do not."""
    return [
        {
            "image": str(save(folder / f"{name}.nii.gz", NOISE[i])),
            "label": str(save(folder / f"{name}_seg.nii.gz", labels)),
        }
        for i, name in enumerate("abc"[:count])
    ]


def values(*changed):
    labels = LABELS.astype(np.float32)
    labels[: len(changed), 0, 0] = changed
    return labels


def test_what_later_steps_need_is_known_of_each_case(tmp_path):
    cases = write(tmp_path)
    result = check_cases(cases)
    assert [one.case for one in result.cases] == cases
    assert result.label_values == (0, 2, 5)
    one = result.cases[0]
    assert one.shape == SHAPE
    assert one.spacing == pytest.approx((2, 1, 5))
    assert one.voxels == {0: 22, 2: 1, 5: 1}


def test_each_case_is_told_of_in_order(tmp_path):
    cases, told = write(tmp_path), []
    check_cases(cases, on_case=told.append)
    assert told == cases


def test_a_label_map_without_background_is_counted(tmp_path):
    (one,) = check_cases(write(tmp_path, 1, np.full(SHAPE, 3, np.uint8))).cases
    assert one.voxels == {3: 24}


# what is done to b: its image's name or its label's, how, what the line says of it
def gone(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def moved(path):
    shifted = AFFINE.copy()
    shifted[0, 3] += 0.002
    save(path, LABELS, shifted)


def turned_round(path):
    save(path, LABELS.transpose(1, 0, 2))


def of_values(*changed):
    return lambda path: save(path, values(*changed))


def in_metres(path):
    save(path, NOISE[1], AFFINE / [[1000], [1000], [1000], [1]])


SPOILT = {
    "image gone": ("b", gone, "does not exist; check the path"),
    "image cut": ("b", cut, "cannot be read to its end"),
    "spacing in metres": ("b", in_metres, "spacing 0.002 x 0.001 x 0.005 mm (expected 0.05 to 20)"),
    "label gone": ("b_seg", gone, "does not exist; check the path"),
    "label cut": ("b_seg", cut, "cannot be read to its end"),
    "label moved": ("b_seg", moved, "is not on the grid of"),
    "label of another shape": ("b_seg", turned_round, "is not on the grid of"),
    "label of fractions": ("b_seg", of_values(0.5), "value 0.5 at voxel (0, 0, 0) is not a label"),
    "label of NaN": ("b_seg", of_values(np.nan), "value nan at voxel (0, 0, 0) is not a label"),
    "label of HU": ("b_seg", of_values(-1000), "value -1000.0 at voxel (0, 0, 0) is not a label"),
    "not declared": ("b_seg", of_values(3, 9), "unknown label values (got 3, 9, expected 0, 2, 5)"),
}


@pytest.mark.parametrize(("name", "spoil", "fault"), SPOILT.values(), ids=SPOILT.keys())
def test_one_bad_file_is_named(tmp_path, name, spoil, fault):
    cases = write(tmp_path)
    path = tmp_path / f"{name}.nii.gz"
    spoil(path)
    (line,) = faults(check_cases, cases, allowed=[2, 5])
    assert line.startswith(f"{path}: {fault}")


def test_all_bad_files_are_listed_in_order(tmp_path):
    cases = write(tmp_path)
    cut(tmp_path / "a.nii.gz")
    of_values(0.5)(tmp_path / "a_seg.nii.gz")
    gone(tmp_path / "b_seg.nii.gz")
    moved(tmp_path / "c_seg.nii.gz")
    lines = faults(check_cases, [*cases, cases[2]])
    assert [line.split(": ")[0].removeprefix(f"{tmp_path}/") for line in lines] == [
        "c.nii.gz",  # in two cases
        "a.nii.gz",
        "a_seg.nii.gz",
        "b_seg.nii.gz",
        "c_seg.nii.gz",
        "c_seg.nii.gz",
    ]


def test_any_value_may_be_held_where_none_is_declared(tmp_path):
    cases = write(tmp_path, 1)
    assert (
        check_cases(cases, allowed=()).label_values
        == check_cases(cases, allowed={2: "a", 5: "b"}).label_values
    )


def test_an_image_of_two_cases_is_refused_though_a_link_hides_it(tmp_path):
    cases = write(tmp_path, 2)
    (tmp_path / "c.nii.gz").symlink_to(tmp_path / "a.nii.gz")
    linked = {"image": str(tmp_path / "c.nii.gz"), "label": cases[1]["label"]}
    (line,) = faults(check_cases, [*cases, linked])
    assert line.startswith(f"{tmp_path}/a.nii.gz: the image of 2 cases (expected 1)")


def test_cases_without_any_foreground_are_refused_and_one_is_doubtful(tmp_path):
    cases = write(tmp_path, 2, np.zeros(SHAPE, np.uint8))
    (line,) = faults(check_cases, cases)
    assert line.startswith("2 cases: no label map has a value above 0 (expected one or more)")
    save(tmp_path / "a_seg.nii.gz", LABELS)
    doubts = [doubt for doubt in check_cases(cases).doubts if "_seg" in doubt]
    assert doubts == [
        f"{tmp_path}/b_seg.nii.gz: no voxel is labelled. Check whether it is finished."
    ]


def test_doubts_are_collected_and_not_shown(tmp_path):
    cases = write(tmp_path)
    save(tmp_path / "c.nii", NOISE[0])  # a copy of a, not packed
    cases[2]["image"] = str(tmp_path / "c.nii")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        doubts = check_cases(cases).doubts
    assert not shown
    assert (
        f"{tmp_path}/c.nii: has the same voxels as {tmp_path}/a.nii.gz. Leave one of them out."
        in doubts
    )
    thin = [doubt for doubt in doubts if "a thin volume" in doubt]
    assert {line.split(": ")[0] for line in thin} == {case["image"] for case in cases}


def test_a_check_that_is_interrupted_reads_no_more(tmp_path, monkeypatch):
    read = []

    def slowly(path, **_):
        read.append(path)
        time.sleep(0.02)
        raise ValueError(f"{path}: spoilt; mend it")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_attn.datasets.checked_cases.read_volume", slowly)
    with pytest.raises(KeyboardInterrupt):
        check_cases(write(tmp_path) * 20, on_case=interrupt)
    assert len(read) < 20  # of 120


def test_labels_are_counted_on_the_scans_grid_alone(tmp_path):
    (case,) = write(tmp_path, 1)
    grid = read_grid(case["image"])
    assert count_labels(case["label"], grid) == ({0: 22, 2: 1, 5: 1}, 0)
    assert count_labels(case["label"], grid, ignore=5) == ({0: 22, 2: 1}, 1)
    moved(tmp_path / "a_seg.nii.gz")
    fails(
        f"{case['label']}: is not on the grid of {case['image']}", count_labels, case["label"], grid
    )


# --- an ignore value


def test_ignored_voxels_are_counted_apart_and_are_no_label(tmp_path):
    cases = write(tmp_path, 2)
    result = check_cases(cases, allowed={2: "a"}, ignore=5)
    assert result.label_values == (0, 2)
    assert [(one.voxels, one.ignored) for one in result.cases] == [({0: 22, 2: 1}, 1)] * 2


def test_a_case_of_which_every_voxel_is_ignored_is_refused(tmp_path):
    cases = write(tmp_path)
    save(tmp_path / "b_seg.nii.gz", np.full(SHAPE, 5, np.uint8))
    (line,) = faults(check_cases, cases, ignore=5)
    assert line.startswith(f"{tmp_path}/b_seg.nii.gz: every voxel has the ignore value 5 ")


def test_foreground_that_is_ignored_is_none(tmp_path):
    cases = write(tmp_path, 2, np.where(LABELS == 5, 5, 0).astype(np.uint8))
    (line,) = faults(check_cases, cases, ignore=5)
    assert line.startswith("2 cases: no label map has a value above 0")


def test_an_ignore_value_that_no_label_map_holds_is_doubtful(tmp_path):
    cases = write(tmp_path, 2)
    doubt = "2 cases: no label map has the ignore value 9. Check the value."
    assert doubt in check_cases(cases, ignore=9).doubts
    assert not [d for d in check_cases(cases, ignore=5).doubts if "ignore value" in d]
