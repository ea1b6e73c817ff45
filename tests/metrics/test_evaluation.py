import gzip
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from monai_attn.datasets.regions import Regions
from monai_attn.io.errors import ScanWarning
from monai_attn.metrics import evaluation
from monai_attn.metrics.evaluation import evaluate_files
from monai_attn.metrics.label_scores import score_labels
from monai_attn.metrics.scores import CaseScore
from scans import AFFINES, fails, one_line

SHAPE = (6, 5, 4)
AFFINE = np.diag([2.0, 1.0, 5.0, 1.0])  # a voxel is 0.01 ml


def block(start, stop, label=1):
    """Labels in slices start..stop of the first axis, 20 voxels each."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[start:stop] = label
    return labels


def save(path, labels, affine=AFFINE):
    path.parent.mkdir(exist_ok=True)
    nib.Nifti1Image(labels, affine).to_filename(path)
    return path


def random_labels(seed, largest=3):
    return np.random.default_rng(seed).integers(0, largest + 1, SHAPE).astype(np.int16)


# prediction, reference, dice, precision, recall
OVERLAPS = {
    "equal": (block(1, 3), block(1, 3), 1, 1, 1),
    "shifted by one voxel": (block(2, 4), block(1, 3), 0.5, 0.5, 0.5),
    "twice too large": (block(1, 5), block(1, 3), 2 / 3, 0.5, 1),
    "half missed": (block(1, 3), block(1, 5), 2 / 3, 1, 0.5),
    "apart": (block(0, 2), block(3, 5), 0, 0, 0),
    "both empty": (block(0, 0), block(0, 0), None, None, None),
    "prediction empty": (block(0, 0), block(1, 3), 0, 0, 0),
    "reference empty": (block(1, 3), block(0, 0), None, None, None),
}


@pytest.mark.parametrize("row", OVERLAPS.values(), ids=OVERLAPS.keys())
def test_overlaps_computed_by_hand(row):
    prediction, reference, *expected = row
    (score,) = score_labels(prediction, reference, (1, 1, 1), labels=[1])
    for value, by_hand in zip((score.dice, score.precision, score.recall), expected, strict=True):
        assert value == (None if by_hand is None else pytest.approx(by_hand))


def test_volumes_are_in_millilitres():
    (score,) = score_labels(block(1, 3), block(1, 2), (2, 1, 5), case="a")
    assert (score.case, score.label) == ("a", 1)
    assert score.predicted_ml == pytest.approx(0.4)  # 40 voxels of 10 mm^3
    assert score.reference_ml == pytest.approx(0.2)
    assert score.volume_error_ml == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("labels", "scored"),
    [(None, [1, 2, 3]), ([2], [2]), ([3, 1, 3], [1, 3]), ([7, 300], [7, 300]), ([], [])],
)
def test_labels_to_score(labels, scored):
    prediction = np.where(block(0, 2) > 0, 1, block(4, 6, label=3)).astype(np.uint8)
    scores = score_labels(prediction, block(2, 4, label=2), (1, 1, 1), labels=labels)
    assert [score.label for score in scores] == scored


def test_background_alone_has_no_label_to_score():
    assert score_labels(block(0, 0), -block(1, 2).astype(np.int8), (1, 1, 1)) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, bool])
def test_any_integer_type(dtype):
    (score,) = score_labels(block(2, 4).astype(dtype), block(1, 3).astype(np.int64), (1, 1, 1))
    assert score.dice == 0.5


# prediction, reference, MSD, HD95, NSD
DISTANCES = {
    "equal": (block(1, 3), block(1, 3), 0, 0, 1),
    "one voxel apart": (block(4, 5), block(3, 4), 3, 3, 0),
    "both empty": (block(0, 0), block(0, 0), None, None, None),
    "prediction empty": (block(0, 0), block(1, 3), None, None, 0),
    "reference empty": (block(1, 3), block(0, 0), None, None, None),
    "the other label between": (
        block(0, 1) + block(2, 4, label=2),
        block(5, 6) + block(2, 4, label=2),
        15,
        15,
        0,
    ),
}


@pytest.mark.parametrize("row", DISTANCES.values(), ids=DISTANCES.keys())
def test_distances_are_in_millimetres(row):
    prediction, reference, *expected = row
    (score,) = score_labels(prediction, reference, (3, 1, 1), labels=[1])
    assert [score.surface_distance_mm, score.hd95_mm, score.nsd_2mm] == expected


def test_what_lies_around_the_labels_changes_nothing():
    prediction, reference = random_labels(0), random_labels(1)
    wide = [np.pad(labels, ((3, 9), (0, 5), (2, 0))) for labels in (prediction, reference)]
    assert score_labels(*wide, (3, 1, 2)) == score_labels(prediction, reference, (3, 1, 2))


@pytest.mark.parametrize("seed", range(3))
def test_dice_equals_monai(seed):
    prediction, reference = random_labels(seed), random_labels(seed + 100)
    scores = score_labels(prediction, reference, (1, 1, 1))
    expected = compute_dice(
        torch.from_numpy(prediction)[None, None],
        torch.from_numpy(reference)[None, None],
        include_background=False,
        num_classes=4,
    )
    assert [score.dice for score in scores] == pytest.approx(expected[0].tolist())


def test_exchanging_the_maps_exchanges_precision_and_recall():
    there = score_labels(random_labels(0), random_labels(1), (1, 2, 3))
    back = score_labels(random_labels(1), random_labels(0), (1, 2, 3))
    assert [(s.dice, s.precision, s.predicted_ml) for s in there] == [
        (s.dice, s.recall, s.reference_ml) for s in back
    ]


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_flipping_both_maps_changes_nothing(axes):
    prediction, reference = random_labels(0), random_labels(1)
    flipped = score_labels(np.flip(prediction, axes), np.flip(reference, axes), (1, 2, 3))
    assert flipped == score_labels(prediction, reference, (1, 2, 3))


# keyword arguments that break a rule, the message
BAD_ARRAYS = {
    "2D": (
        {"prediction": np.zeros((4, 4), int), "reference": np.zeros((4, 4), int)},
        "prediction (4, 4) and reference (4, 4): shapes do not match (expected one shape (X, Y, Z))",
    ),
    "shapes": (
        {"prediction": np.zeros((6, 5, 3), int)},
        "prediction (6, 5, 3) and reference (6, 5, 4): shapes do not match",
    ),
    "probabilities": (
        {"prediction": np.zeros(SHAPE)},
        "prediction: no labels (got float64, expected integers)",
    ),
    "two spacings": ({"spacing": (1, 1)}, "spacing (=(1, 1)) must be three voxel sizes above 0 mm"),
    "no spacing": ({"spacing": (1, 0, 1)}, "spacing (=(1, 0, 1)) must be three"),
    "NaN spacing": ({"spacing": (1, np.nan, 1)}, "spacing (=(1, nan, 1)) must be three"),
    "background": ({"labels": [1, 0]}, "labels: a label that cannot be scored (got 0,"),
    "half a label": ({"labels": [1.5]}, "labels: a label that cannot be scored (got 1.5,"),
}


@pytest.mark.parametrize("row", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_arrays_that_cannot_be_scored(row):
    changed, message = row
    arguments = {"prediction": block(1, 2), "reference": block(1, 2), "spacing": (1, 1, 1)}
    arguments |= changed
    with pytest.raises(ValueError, match=r".") as raised:
        score_labels(
            arguments.pop("prediction"),
            arguments.pop("reference"),
            arguments.pop("spacing"),
            **arguments,
        )
    assert message in one_line(raised)


def test_two_files(tmp_path):
    prediction = save(tmp_path / "out.nii", block(2, 4))
    reference = save(tmp_path / "case_7.nii.gz", block(1, 3))
    (score,) = evaluate_files(prediction, str(reference))
    assert (score.case, score.label, score.dice) == ("case_7", 1, 0.5)
    assert score.hd95_mm == 2  # mm, of the affine
    assert score.reference_ml == pytest.approx(0.4)


def test_folders_are_scored_case_by_case(tmp_path):
    for name, labels in (("a_seg.nii", block(2, 4)), ("z.nii.gz", block(1, 3))):
        save(tmp_path / "out" / name, labels)
    for name in ("a.nii.gz", "z.nii.gz"):
        save(tmp_path / "labels" / name, block(1, 3))
    calls = []
    scores = evaluate_files(
        tmp_path / "out", tmp_path / "labels", on_case=lambda *call: calls.append(call)
    )
    assert [(score.case, score.dice) for score in scores] == [("a", 0.5), ("z", 1)]
    assert calls == [(1, 2), (2, 2)]


def test_a_voxel_of_a_sheared_grid_has_the_volume_of_its_parallelepiped(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 2] = 3.0  # a tilted gantry: the slices slide, the volume stays 10 mm^3
    path = save(tmp_path / "a.nii", block(1, 3), sheared)
    assert evaluate_files(path, path)[0].reference_ml == pytest.approx(0.4)


# a sheared grid's third axis is longer by the shear; that it leans is left out
@pytest.mark.parametrize(
    ("name", "spacing"),
    [("LPS", (2, 1, 5)), ("oblique", (2, 1, 5)), ("sheared", (2, 1, 27.25**0.5))],
)
def test_distances_follow_the_spacing_and_not_the_direction_of_the_axes(tmp_path, name, spacing):
    prediction, reference = random_labels(0, 1), random_labels(1, 1)
    paths = [
        save(tmp_path / file, labels, AFFINES[name])
        for file, labels in (("p.nii", prediction), ("r.nii", reference))
    ]
    (score,), (expected,) = evaluate_files(*paths), score_labels(prediction, reference, spacing)
    assert score.surface_distance_mm == pytest.approx(expected.surface_distance_mm)
    assert score.hd95_mm == pytest.approx(expected.hd95_mm)
    assert score.nsd_2mm == expected.nsd_2mm


@pytest.mark.parametrize("label", [1, 255, 65535, 2**24 - 1])
def test_labels_that_float32_holds_are_exact(tmp_path, label):
    path = save(tmp_path / "a.nii", block(1, 3, 1).astype(np.int32) * label)
    assert [score.label for score in evaluate_files(path, path)] == [label]


def test_labels_stored_as_scaled_floats_count_as_whole_numbers(tmp_path):
    reference = save(tmp_path / "a.nii", block(1, 3))
    prediction = save(tmp_path / "b.nii", block(1, 3) * np.float32(0.9999))
    assert [score.dice for score in evaluate_files(prediction, reference)] == [1]


def test_a_label_that_a_reference_lacks_has_no_dice_there(tmp_path):
    for folder in ("out", "labels"):
        save(tmp_path / folder / "a.nii", block(0, 0))
        save(tmp_path / folder / "b.nii", block(1, 3))
    scores = evaluate_files(tmp_path / "out", tmp_path / "labels")
    assert scores[0] == CaseScore("a", 1, None, None, None, None, None, None, 0, 0)
    assert [score.case for score in scores] == ["a", "b"]


def test_chosen_labels_are_scored_alone(tmp_path):
    path = save(tmp_path / "a.nii", random_labels(0))
    assert [score.label for score in evaluate_files(path, path, labels=[2, 9])] == [2, 9]


def two_files(folder, prediction, reference):
    save(folder / "p.nii", *prediction)
    save(folder / "r.nii", *reference)
    return folder / "p.nii", folder / "r.nii"


def moved(mm):
    affine = AFFINE.copy()
    affine[0, 3] = mm
    return affine


def with_value(value):
    values = np.zeros(SHAPE, np.float32)
    values[1, 2, 3] = value
    return values


# prediction (labels, affine), reference, what the one line says; {p} and {r} are the two paths
BAD_FILES = {
    "shape": (
        (np.zeros((4, 4, 4), np.uint8),),
        (block(1, 2),),
        "{p}: is not on the grid of {r} (got shape (4, 4, 4), expected (6, 5, 4))",
    ),
    "moved grid": (
        (block(1, 2), moved(0.002)),
        (block(1, 2),),
        "{p}: is not on the grid of {r} (got corners 0.002 mm apart, expected at most 0.001",
    ),
    "other spacing": (
        (block(1, 2), np.diag([2.001, 1, 5, 1])),  # the far corner is 5 voxels away
        (block(1, 2),),
        "{p}: is not on the grid of {r} (got corners 0.005 mm apart",
    ),
    "4D": (
        (np.zeros((4, 4, 4, 2), np.uint8),),
        (block(1, 2),),
        "{p}: 4 dimensions, (4, 4, 4, 2); one volume expected",
    ),
    "fraction": (
        (block(1, 2),),
        (with_value(0.5),),
        "{r}: value 0.5 at voxel (1, 2, 3) is not a label (expected whole numbers from 0 to 16777215)",
    ),
    "NaN": ((with_value(np.nan),), (block(1, 2),), "{p}: value nan at voxel (1, 2, 3)"),
    "more than float32 tells apart": (
        (block(1, 2).astype(np.int32) * (2**24 + 1),),
        (block(1, 2),),
        "{p}: value 16777216.0 at voxel (1, 0, 0) is not a label (expected whole numbers from 0 to 16777215",
    ),
    "infinity": ((with_value(np.inf),), (block(1, 2),), "{p}: value inf at voxel (1, 2, 3)"),
    "HU": ((with_value(-1000),), (block(1, 2),), "{p}: value -1000.0 at voxel (1, 2, 3)"),
    "too large": ((with_value(1e10),), (block(1, 2),), "{p}: value 10000000000.0 at"),
    "complex": (
        (np.zeros(SHAPE, np.complex64),),
        (block(1, 2),),
        "{p}: voxel type complex64 (expected one real number per voxel)",
    ),
}


@pytest.mark.parametrize("row", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_files_that_cannot_be_compared(tmp_path, row):
    prediction, reference = two_files(tmp_path, *row[:2])
    with pytest.raises(ValueError, match=r".") as raised:
        evaluate_files(prediction, reference)
    assert row[2].format(p=prediction, r=reference) in one_line(raised)


@pytest.mark.parametrize(("value", "fault"), [(0, "singular"), (np.nan, "not finite")])
def test_an_affine_that_places_no_voxel_is_named(tmp_path, value, fault):
    path = save(tmp_path / "a.nii", block(1, 2))
    header = bytearray(path.read_bytes())
    header[296:312] = np.full(4, value, np.float32).tobytes()  # srow_y, the affine's second row
    path.write_bytes(header)
    with pytest.raises(ValueError, match=rf"a\.nii: the affine is {fault}") as raised:
        evaluate_files(path, path)
    one_line(raised)


def test_a_grid_may_be_off_by_rounding(tmp_path):
    prediction, reference = two_files(tmp_path, (block(1, 2), moved(0.0005)), (block(1, 2),))
    assert evaluate_files(prediction, reference)[0].dice == 1


# how the file is spoilt, what the one line says after the path
SPOILT = {
    "text": (lambda raw: b"not an image", "not a NIfTI file but "),
    "cut": (lambda raw: raw[:-30], "the file is cut short (got 442 bytes, expected 472)"),
    "compressed": (lambda raw: gzip.compress(raw)[:-9], "compressed, but its name"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_files_that_cannot_be_read(tmp_path, spoil, message):
    path = save(tmp_path / "a.nii", block(1, 2))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r".") as raised:
        evaluate_files(path, path)
    assert one_line(raised).startswith(f"{path}: {message}")


def test_import_is_light():
    code = (
        f"import runpy, sys; runpy.run_path({evaluation.__file__!r}); print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


def test_values_of_the_references_can_stand_for_other_labels(tmp_path):
    reference = np.zeros((4, 4, 4), np.uint8)
    reference[1:3], reference[3] = 7, 5
    prediction = (reference == 7).astype(np.uint8)
    paths = [tmp_path / f"{name}.nii.gz" for name in ("prediction", "reference")]
    for path, labels in zip(paths, (prediction, reference), strict=True):
        nib.save(nib.Nifti1Image(labels, np.eye(4)), path)
    (score,) = evaluate_files(*paths, classes={7: 1})
    assert (score.label, score.dice, score.reference_ml) == (1, 1, pytest.approx(0.032))


# --- an ignore value


def sparse(labels, value=9):
    """Every other slice is known."""
    labels = labels.copy()
    labels[:, :, 1::2] = value
    return labels


@pytest.mark.parametrize("elsewhere", [0, 1, 3, 9])
def test_scores_are_those_of_the_known_voxels_whatever_is_said_of_others(elsewhere):
    prediction, reference = random_labels(0), random_labels(1)
    cut = score_labels(prediction[:, :, ::2], reference[:, :, ::2], (1, 2, 3))
    prediction[:, :, 1::2] = elsewhere
    found = score_labels(prediction, sparse(reference), (1, 2, 3), ignore=9)
    for score, expected in zip(found, cut, strict=True):
        surfaces = (score.surface_distance_mm, score.hd95_mm, score.nsd_2mm)
        assert surfaces == (None, None, None)
        for name in ("label", "dice", "precision", "recall", "reference_ml", "predicted_ml"):
            assert getattr(score, name) == pytest.approx(getattr(expected, name)), name


def test_a_reference_without_an_ignored_voxel_is_scored_as_ever():
    prediction, reference = random_labels(0), random_labels(1)
    plain = score_labels(prediction, reference, (1, 2, 3))
    assert score_labels(prediction, reference, (1, 2, 3), ignore=9) == plain


def test_an_ignore_value_that_cannot_be_is_refused():
    labels = block(1, 3)
    fails(
        "ignore (=1) is also class 1", score_labels, *[labels] * 2, (1, 1, 1), labels=[1], ignore=1
    )
    nothing = np.full(SHAPE, 9)
    fails("reference: every voxel has the ig", score_labels, labels, nothing, (1, 1, 1), ignore=9)


@pytest.fixture
def sparse_files(tmp_path):
    """Two cases; of a, which alone is partly known, the last slices hold another organ."""
    labels = sparse(block(1, 3))
    labels[4:, :, 0] = 7
    for name, reference in (("a", labels), ("b", block(1, 3))):
        save(tmp_path / "out" / f"{name}_seg.nii.gz", block(1, 3))
        save(tmp_path / "labels" / f"{name}.nii.gz", reference)
    return tmp_path / "out", tmp_path / "labels"


def test_files_are_scored_where_they_are_known(sparse_files):
    scores = {(s.case, s.label): s for s in evaluate_files(*sparse_files, ignore=9)}
    assert scores.keys() == {("a", 1), ("a", 7), ("b", 1), ("b", 7)}
    assert [scores[case, 1].nsd_2mm for case in "ab"] == [None, 1]
    assert scores["a", 1].dice == 1
    assert scores["a", 1].reference_ml == pytest.approx(scores["b", 1].reference_ml / 2)


def test_a_label_that_a_partly_known_case_lacks_has_no_surface_there(sparse_files):
    save(sparse_files[1] / "b.nii.gz", block(1, 3) + block(4, 6, 2))
    scores = {(s.case, s.label): s for s in evaluate_files(*sparse_files, ignore=9)}
    assert (scores["a", 2].dice, scores["a", 2].hd95_mm, scores["a", 2].reference_ml) == (
        None,
        None,
        0,
    )


def test_an_ignore_value_goes_with_values_that_stand_for_other_labels(sparse_files):
    scores = evaluate_files(*sparse_files, classes={1: 1}, ignore=9)
    assert [(s.case, s.label, s.dice) for s in scores] == [("a", 1, 1), ("b", 1, 1)]
    fails("ignore (=9) is also", evaluate_files, *sparse_files, classes={9: 1}, ignore=9)


def test_a_reference_without_a_known_voxel_is_named(sparse_files):
    path = save(sparse_files[1] / "a.nii.gz", np.full(SHAPE, 9, np.uint8))
    fails(f"{path}: every voxel has the ignore value 9", evaluate_files, *sparse_files, ignore=9)


def test_a_reference_in_another_order_of_axes_is_reordered_and_said(tmp_path):
    labels = block(1, 3)
    prediction = save(tmp_path / "p.nii.gz", labels)
    reference = tmp_path / "r.nii.gz"
    nib.save(nib.load(prediction).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), reference)
    with pytest.warns(ScanWarning, match=r"r\.nii\.gz: stored with other axes than"):
        (score,) = evaluate_files(prediction, reference)
    assert (score.dice, score.surface_distance_mm) == (1, 0)


# --- regions


def test_a_region_is_scored_with_all_that_is_within_it(tmp_path):
    predicted, expected = block(0, 4), block(0, 4)
    predicted[0:2], expected[1:3] = 2, 2
    expected[5] = 3
    prediction, reference = (
        save(tmp_path / "a.nii.gz", predicted),
        save(tmp_path / "b.nii.gz", expected),
    )
    regions = Regions({1: (1, 2), 2: (2,)})
    scores = evaluate_files(prediction, reference, regions=regions, ignore=3)
    assert [(score.label, score.dice) for score in scores] == [(1, 1.0), (2, 0.5)]
    assert scores[0].reference_ml == pytest.approx(0.8)
    (score,) = evaluate_files(prediction, reference, regions=regions, labels=[2])
    assert score.dice == 0.5
    fails(
        "labels: 3 is the label of no region (expected 1, 2)",
        evaluate_files,
        prediction,
        reference,
        regions=regions,
        labels=[3],
    )
    fails(
        "ignore (=2) is also class 2",
        evaluate_files,
        prediction,
        reference,
        regions=regions,
        ignore=2,
    )
