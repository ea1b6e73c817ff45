"""The scores of a training on its validation cases."""

from pathlib import Path

from monai_attn.training.scoring import missed_labels, score_names


def test_a_label_that_was_found_nowhere_is_named():
    means = {
        "1": {"dice": 0.0, "n": 3},
        "2": {"dice": 0.00049, "n": 2},
        "3": {"dice": 0.1, "n": 3},
        "4": {"dice": None, "n": 0},
    }
    names = {1: "pancreas", 2: "cyst", 3: "spleen", 4: "stent"}
    lines = list(missed_labels(Path("run"), means, names))
    assert lines[0].startswith(
        "run: pancreas was not found in the validation cases (mean Dice 0.0000 of 3). Do not use"
    )
    assert [line.split(" was")[0] for line in lines] == ["run: pancreas", "run: cyst"]


def test_a_case_is_not_named_after_a_file_that_each_case_has():
    def split(*names):
        cases = [{"image": f"ts/{n}/ct.nii", "label": label} for n, label in names]
        return {"training": cases[1:], "validation": cases[:1]}

    masks = [(n, f"ts/{n}/segmentations/pancreas.nii") for n in ("s0001", "s0002")]
    assert score_names(split(*masks)) == ["s0001"]
    assert score_names(split(*[(n, f"labels/{n}_seg.nii") for n in ("a", "b")])) == ["a_seg"]
