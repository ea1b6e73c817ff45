"""What a data set is like, measured in arrays of a few voxels."""

import json

import numpy as np
import pytest

from monai_attn.planning.fingerprint import SAMPLE, CaseFacts, Structure, case_facts, fingerprint
from scans import AFFINES, fails

SHAPE = (6, 5, 4)


def labelled(*boxes):
    """A label map with value, x, y and z of each box."""
    labels = np.zeros(SHAPE, dtype=np.int32)
    for value, *box in boxes:
        labels[tuple(slice(*edges) for edges in box)] = value
    return labels


LABELS = labelled((7, (1, 4), (2, 4), (0, 1)), (2, (5, 6), (0, 5), (0, 4)))
IMAGE = np.arange(120, dtype=np.float32).reshape(SHAPE)


def test_a_structure_has_the_volume_and_the_box_of_its_voxels():
    facts = case_facts(IMAGE, LABELS, np.diag([2.0, 1.0, 5.0, 1.0]))
    assert set(facts.structures) == {2, 7}
    pancreas = facts.structures[7]
    assert pancreas.ml == pytest.approx(6 * 10 / 1000)
    assert (pancreas.low, pancreas.high) == ((1, 2, 0), (4, 4, 1))
    assert sorted(pancreas.hu) == sorted(IMAGE[LABELS == 7])


@pytest.mark.parametrize("name", AFFINES)
def test_axes_are_those_of_the_patient_however_the_file_lies(name):
    facts = case_facts(IMAGE, LABELS, AFFINES[name])
    size = (5, 4, 6) if name == "axes exchanged" else SHAPE
    assert facts.size == size
    assert facts.spacing == pytest.approx(
        (2, 1, 5), rel=0.05
    )  # sheared slices lie along a longer edge
    assert all(high <= n for high, n in zip(facts.structures[7].high, size, strict=True))


def test_the_sample_is_bounded_and_repeats_by_its_seed():
    labels = np.ones((30, 30, 30), dtype=np.int32)
    labels[:15] = 2
    image = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    one, same, other = (case_facts(image, labels, np.eye(4), seed=seed) for seed in (1, 1, 2))
    assert sum(part.hu.size for part in one.structures.values()) == SAMPLE
    np.testing.assert_array_equal(one.structures[1].hu, same.structures[1].hu)
    assert (one.structures[1].hu != other.structures[1].hu).any()
    chosen = case_facts(image, labels, np.eye(4), values=[2])
    assert [chosen.structures[value].hu.size for value in (1, 2)] == [0, SAMPLE]


def test_without_a_choice_all_labels_are_one_class():
    found = fingerprint([case_facts(IMAGE, LABELS, np.eye(4))])
    assert found.volumes_ml == {"foreground": (pytest.approx(26 / 1000),)}
    assert found.extents_mm == {"foreground": ((5, 5, 4),)}
    assert found.label_map == {2: 1, 7: 1}


def test_a_choice_leaves_the_other_labels_to_the_background():
    found = fingerprint([case_facts(IMAGE, LABELS, np.eye(4), values=[7])], {7: "pancreas"})
    assert found.volumes_ml == {"pancreas": (pytest.approx(6 / 1000),)}
    assert found.label_map == {2: 0, 7: 1}
    assert IMAGE[LABELS == 7].min() <= found.hu[0.5] <= found.hu[99.5] <= IMAGE[LABELS == 7].max()


def test_values_of_one_name_are_one_class_and_classes_count_in_their_order():
    facts = case_facts(IMAGE, LABELS, np.eye(4))
    assert fingerprint([facts], {7: "organ", 2: "organ"}).label_map == {2: 1, 7: 1}
    assert fingerprint([facts], {7: "a", 2: "b"}).label_map == {2: 2, 7: 1}


def test_the_typical_structure_holds_a_median_case_of_every_class():
    def case(long):
        hu = np.zeros(1, np.float32)
        parts = {1: (0, 0, 0, long, 2, 2), 2: (0, 0, 0, 2, 9, 2)}
        return CaseFacts(
            (20, 20, 20),
            (1.0, 1.0, 2.0),
            {value: Structure(1.0, box[:3], box[3:], hu) for value, box in parts.items()},
        )

    found = fingerprint([case(3), case(4), case(19)], {1: "a", 2: "b"})
    assert found.structure_mm.tolist() == [4, 9, 4]
    assert found.field_mm.tolist() == [20, 20, 40]


def test_a_case_without_the_class_counts_as_a_case_alone():
    empty = case_facts(IMAGE, labelled(), np.eye(4))
    found = fingerprint([case_facts(IMAGE, LABELS, np.eye(4)), empty])
    assert found.cases == 2
    assert len(found.volumes_ml["foreground"]) == 1
    assert found.as_json()["classes"]["foreground"]["cases"] == 1


def test_the_summary_is_json_with_least_median_and_most():
    small, large = (case_facts(IMAGE, LABELS, np.diag([mm, 1, 1, 1])) for mm in (1.0, 3.0))
    summary = json.loads(json.dumps(fingerprint([small, large]).as_json()))
    spread = {"least": [1, 1, 1], "median": [2, 1, 1], "most": [3, 1, 1]}
    assert summary["spacing_mm"] == spread
    assert list(summary["hu_percentiles"]) == ["0.5", "5", "50", "95", "99.5"]


def test_what_no_case_has_is_named():
    facts = case_facts(IMAGE, LABELS, np.eye(4))
    fails(
        "no case has label 3 (liver); the labels there are [2, 7]",
        fingerprint,
        [facts],
        {3: "liver"},
    )
    fails("no case has a label above 0", fingerprint, [case_facts(IMAGE, labelled(), np.eye(4))])
    with pytest.raises(ValueError, match="must be one or more"):
        fingerprint([])
