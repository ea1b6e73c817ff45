"""Scores of files and folders: what is compared, and what is refused."""

import gzip
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from monai_attn.datasets.regions import Regions
from monai_attn.io.errors import ScanWarning
from monai_attn.metrics import evaluation
from monai_attn.metrics.evaluation import evaluate_files
from monai_attn.metrics.label_scores import score_labels
from monai_attn.metrics.scores import CaseScore
from scans import AFFINES, fails, one_line
from tests.metrics.label_blocks import AFFINE, SHAPE, block, random_labels, save_labels


def test_two_files(tmp_path):
    prediction = save_labels(tmp_path / "out.nii", block(2, 4))
    reference = save_labels(tmp_path / "case_7.nii.gz", block(1, 3))
    (score,) = evaluate_files(prediction, str(reference))
    assert (score.case, score.label, score.dice) == ("case_7", 1, 0.5)
    assert score.hd95_mm == 2  # mm, of the affine
    assert score.reference_ml == pytest.approx(0.4)


def test_folders_are_scored_case_by_case(tmp_path):
    for name, labels in (("a_seg.nii", block(2, 4)), ("z.nii.gz", block(1, 3))):
        save_labels(tmp_path / "out" / name, labels)
    for name in ("a.nii.gz", "z.nii.gz"):
        save_labels(tmp_path / "labels" / name, block(1, 3))
    calls = []
    scores = evaluate_files(
        tmp_path / "out", tmp_path / "labels", on_case=lambda *call: calls.append(call)
    )
    assert [(score.case, score.dice) for score in scores] == [("a", 0.5), ("z", 1)]
    assert calls == [(1, 2), (2, 2)]


def test_a_voxel_of_a_sheared_grid_has_the_volume_of_its_parallelepiped(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 2] = 3.0  # a tilted gantry: the slices slide, the volume stays 10 mm^3
    path = save_labels(tmp_path / "a.nii", block(1, 3), sheared)
    assert evaluate_files(path, path)[0].reference_ml == pytest.approx(0.4)


# a sheared grid's third axis is longer by the shear; that it leans is left out
@pytest.mark.parametrize(
    ("name", "spacing"),
    [("LPS", (2, 1, 5)), ("oblique", (2, 1, 5)), ("sheared", (2, 1, 27.25**0.5))],
)
def test_distances_follow_the_spacing_and_not_the_direction_of_the_axes(tmp_path, name, spacing):
    prediction, reference = random_labels(0, 1), random_labels(1, 1)
    paths = [
        save_labels(tmp_path / file, labels, AFFINES[name])
        for file, labels in (("p.nii", prediction), ("r.nii", reference))
    ]
    (score,), (expected,) = evaluate_files(*paths), score_labels(prediction, reference, spacing)
    assert score.surface_distance_mm == pytest.approx(expected.surface_distance_mm)
    assert score.hd95_mm == pytest.approx(expected.hd95_mm)
    assert score.nsd_2mm == expected.nsd_2mm


@pytest.mark.parametrize("label", [1, 255, 65535, 2**24 - 1])
def test_labels_that_float32_holds_are_exact(tmp_path, label):
    path = save_labels(tmp_path / "a.nii", block(1, 3, 1).astype(np.int32) * label)
    assert [score.label for score in evaluate_files(path, path)] == [label]


def test_labels_stored_as_scaled_floats_count_as_whole_numbers(tmp_path):
    reference = save_labels(tmp_path / "a.nii", block(1, 3))
    prediction = save_labels(tmp_path / "b.nii", block(1, 3) * np.float32(0.9999))
    assert [score.dice for score in evaluate_files(prediction, reference)] == [1]


def test_a_label_that_a_reference_lacks_has_no_dice_there(tmp_path):
    for folder in ("out", "labels"):
        save_labels(tmp_path / folder / "a.nii", block(0, 0))
        save_labels(tmp_path / folder / "b.nii", block(1, 3))
    scores = evaluate_files(tmp_path / "out", tmp_path / "labels")
    assert scores[0] == CaseScore("a", 1, None, None, None, None, None, None, 0, 0)
    assert [score.case for score in scores] == ["a", "b"]


def test_chosen_labels_are_scored_alone(tmp_path):
    path = save_labels(tmp_path / "a.nii", random_labels(0))
    assert [score.label for score in evaluate_files(path, path, labels=[2, 9])] == [2, 9]


def two_files(folder, prediction, reference):
    save_labels(folder / "p.nii", *prediction)
    save_labels(folder / "r.nii", *reference)
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
    path = save_labels(tmp_path / "a.nii", block(1, 2))
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
    path = save_labels(tmp_path / "a.nii", block(1, 2))
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


def test_a_reference_in_another_order_of_axes_is_reordered_and_said(tmp_path):
    labels = block(1, 3)
    prediction = save_labels(tmp_path / "p.nii.gz", labels)
    reference = tmp_path / "r.nii.gz"
    nib.save(nib.load(prediction).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), reference)
    with pytest.warns(ScanWarning, match=r"r\.nii\.gz: stored with other axes than"):
        (score,) = evaluate_files(prediction, reference)
    assert (score.dice, score.surface_distance_mm) == (1, 0)


def test_a_region_is_scored_with_all_that_is_within_it(tmp_path):
    predicted, expected = block(0, 4), block(0, 4)
    predicted[0:2], expected[1:3] = 2, 2
    expected[5] = 3
    prediction, reference = (
        save_labels(tmp_path / "a.nii.gz", predicted),
        save_labels(tmp_path / "b.nii.gz", expected),
    )
    regions = Regions({1: (1, 2), 2: (2,)})
    scores = evaluate_files(prediction, reference, regions=regions, ignore=3)
    assert [(score.label, score.dice) for score in scores] == [(1, 1.0), (2, 0.5)]
    assert scores[0].reference_ml == pytest.approx(0.8)
    with pytest.warns(
        ScanWarning, match=r"b\.nii\.gz: voxels of value 3 lie in no region and count as"
    ):
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
