"""The comparison with nnU-Net: its data sets, its split by patient, and records that are kept."""

import json
import sys

import numpy as np
import pytest

from benchmarks import against_nnunet, nnunet_data
from benchmarks.against_nnunet import arm_name, run_measured
from benchmarks.nnunet_data import halve, prepare
from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.ignore import find_ignore
from monai_attn.datasets.label_classes import declared_labels
from monai_attn.datasets.splits import choose_split


def made(count):
    for number in range(count):
        image = np.full((5, 4, 2), number, np.int16)
        label = np.zeros((5, 4, 2), np.uint8)
        label[:2, :2] = 1
        label[..., 1] = 2
        yield f"case_{number}", image, label, np.diag([1.0, 1.0, 3.0, 1.0])


def test_voxels_are_averaged_two_by_two_in_place():
    image = np.arange(16, dtype=np.int16).reshape(4, 4, 1)
    label = np.zeros((4, 4, 1), np.uint8)
    label[0, :2] = label[2:, 2:] = 1
    _, small, marks, affine = halve(("a", image, label, np.eye(4)))
    assert small[..., 0].tolist() == [[2, 4], [10, 12]]  # 2.5 and so on, rounded to even
    assert marks[..., 0].tolist() == [[1, 0], [0, 1]]
    assert (affine @ [0, 0, 0, 1]).tolist() == [0.5, 0.5, 0, 1]
    assert (affine @ [1, 1, 0, 1]).tolist() == [2.5, 2.5, 0, 1]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(nnunet_data, "pancreas_cases", lambda source: made(7))
    return prepare("pancreas", tmp_path, tmp_path / "work")


def test_both_programs_have_one_split_by_patient(data):
    (theirs,) = json.loads((data / "splits_final.json").read_text())
    ours = choose_split(str(data / "datalist.json"), fold=0)
    names = {
        part: sorted(case["label"].split("/")[-1].split(".")[0] for case in cases)
        for part, cases in ours.items()
    }
    assert names == {"training": theirs["train"], "validation": theirs["val"]}
    assert not set(theirs["train"]) & set(theirs["val"])
    assert theirs["val"] == ["case_0", "case_5"]


def test_both_programs_see_one_ignore_label(data):
    for source in (data, data / "datalist.json"):
        assert find_ignore(None, source) == 2
        assert declared_labels(source)[1] == "pancreas"
        assert len(find_cases(source)) == 7


def test_what_exists_is_not_made_again(data, tmp_path, monkeypatch):
    monkeypatch.setattr(nnunet_data, "pancreas_cases", lambda source: pytest.fail("made again"))
    assert prepare("pancreas", tmp_path, tmp_path / "work") == data
    record, word = tmp_path / "a" / "b.json", tmp_path / "word"
    command = [sys.executable, "-c", f"open({str(word)!r}, 'a').write('x')"]
    first = run_measured(record, command, {})
    assert run_measured(record, command, {}) == first
    assert word.read_text() == "x"
    assert first["seconds"] > 0
    assert first["peak_mib"] > 1


def test_a_failure_names_the_log_and_leaves_no_record(tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*a\.log"):
        run_measured(tmp_path / "a.json", [sys.executable, "-c", "raise SystemExit(3)"], {})
    assert not (tmp_path / "a.json").exists()


def test_each_arm_has_a_folder_of_its_own():
    names = {arm_name(arm) for arm in against_nnunet.ARMS}
    assert len(names) == len(against_nnunet.ARMS)
    assert not any(set(name) & set(" ,'/") for name in names)
