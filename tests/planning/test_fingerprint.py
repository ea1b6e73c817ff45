"""What a data set is like, measured in arrays of a few voxels."""

import json

import numpy as np
import pytest

from monai_attn.datasets.label_classes import choose_classes
from monai_attn.datasets.region_choice import choose_labels
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


def classes(*labels, found=(0, 2, 7)):
    return choose_classes(labels, found, {})


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


def test_values_of_one_class_are_measured_together():
    found = fingerprint([case_facts(IMAGE, LABELS, np.eye(4))], classes("2=organ", "7=organ"))
    assert found.volumes_ml == {"organ": (pytest.approx(26 / 1000),)}
    assert found.extents_mm == {"organ": ((5, 5, 4),)}


def test_classes_are_measured_apart_and_in_their_order():
    found = fingerprint([case_facts(IMAGE, LABELS, np.eye(4))], classes("7=a", "2=b"))
    assert list(found.volumes_ml.items()) == [
        ("a", (pytest.approx(6 / 1000),)),
        ("b", (pytest.approx(20 / 1000),)),
    ]


def test_other_labels_are_background():
    facts = case_facts(IMAGE, LABELS, np.eye(4), values=[7])
    found = fingerprint([facts], classes("7=pancreas"))
    assert found.volumes_ml == {"pancreas": (pytest.approx(6 / 1000),)}
    assert IMAGE[LABELS == 7].min() <= found.hu[0.5] <= found.hu[99.5] <= IMAGE[LABELS == 7].max()


def test_the_typical_structure_holds_a_median_case_of_every_class():
    def case(long):
        hu = np.zeros(1, np.float32)
        parts = {1: (0, 0, 0, long, 2, 2), 2: (0, 0, 0, 2, 9, 2)}
        return CaseFacts(
            (20, 20, 20),
            (1.0, 1.0, 2.0),
            {value: Structure(1.0, box[:3], box[3:], hu) for value, box in parts.items()},
        )

    found = fingerprint([case(3), case(4), case(19)], classes("1=a", "2=b", found=(1, 2)))
    assert found.structure_mm.tolist() == [4, 9, 4]
    assert found.field_mm.tolist() == [20, 20, 40]


def test_a_case_without_the_class_counts_as_a_case_alone():
    empty = case_facts(IMAGE, labelled(), np.eye(4))
    found = fingerprint([case_facts(IMAGE, LABELS, np.eye(4)), empty], classes("7=pancreas"))
    assert found.cases == 2
    assert len(found.volumes_ml["pancreas"]) == 1
    assert found.as_json()["classes"]["pancreas"]["cases"] == 1


def test_the_summary_is_json_with_least_median_and_most():
    small, large = (case_facts(IMAGE, LABELS, np.diag([mm, 1, 1, 1])) for mm in (1.0, 3.0))
    summary = json.loads(json.dumps(fingerprint([small, large], classes()).as_json()))
    spread = {"least": [1, 1, 1], "median": [2, 1, 1], "most": [3, 1, 1]}
    assert summary["spacing_mm"] == spread
    assert list(summary["hu_percentiles"]) == ["0.5", "5", "50", "95", "99.5"]


def test_a_class_that_no_case_has_is_left_out_and_one_is_needed():
    facts = [case_facts(IMAGE, LABELS, np.eye(4))]
    found = fingerprint(facts, classes("7=pancreas", "3=liver", found=(3, 7)))
    assert list(found.volumes_ml) == ["pancreas"]
    absent = classes("3=liver", "4=spleen", found=(3, 4))
    fails("1 cases: no label is liver or spleen ", fingerprint, facts, absent)


def test_a_region_has_the_volume_and_the_box_of_all_that_is_within_it():
    facts = case_facts(IMAGE, LABELS, np.eye(4))
    nested = choose_labels(["2,7=whole", "7=core"], {2, 7}, {})
    found = fingerprint([facts], nested)
    volumes = {name: ml for name, (ml,) in found.volumes_ml.items()}
    assert volumes == pytest.approx({"whole": 0.026, "core": 0.006})
    assert found.extents_mm == {"whole": ((5, 5, 4),), "core": ((3, 2, 1),)}
    assert found.hu == fingerprint([facts], classes("2=a", "7=b")).hu, "each voxel counts once"
