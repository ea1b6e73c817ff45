"""A bundle is calibrated on labelled cases: what is fitted, what is written, and what stays."""

import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.bundle.open import open_bundle
from monai_attn.cli.app import app
from monai_attn.datasets.cases import find_cases
from monai_attn.io.errors import Faults, ScanWarning
from monai_attn.metrics.calibration import Confidence, VoxelSample, nll
from monai_attn.training.calibration import Calibration, _check, calibrate, fit
from monai_attn.training.calibration_measurements import Measurements, volumes_of
from scans import fails

NOTHING = VoxelSample(np.zeros((0, 2), np.float32), np.zeros(0, int), np.zeros(0))


def config(root, name="inference"):
    return json.loads((root / "configs" / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def calibrated(tiny_bundle, phantoms, tmp_path_factory):
    """A copy of a tiny bundle, calibrated; and what was found."""
    root = tmp_path_factory.mktemp("calibrated") / "bundle"
    shutil.copytree(tiny_bundle, root)
    opened, found = calibrate(root, phantoms, device="cpu", intervals=True)
    return root, opened, found


def test_what_was_fitted_is_written_into_the_bundle_and_used(calibrated):
    root, _, found = calibrated
    assert config(root)["temperature"] == found.confidence.temperature != 1
    said = config(root, "metadata")["calibration"]
    assert (len(said["cases"]), said["voxels"]) == (4, found.measured.voxels)
    assert said["nll"]["after"] < said["nll"]["before"]
    again = open_bundle(root, "cpu").segmenter(uncertainty=True, interval=True)
    assert again.confidence == found.confidence
    assert again.uncertainty
    assert len(again.views) == 4 + len(found.confidence.flip_axes)


def test_the_likelihood_is_never_worse_and_no_label_changes(calibrated, phantoms):
    root, opened, found = calibrated
    sample, temperature = found.measured.sample, found.confidence.temperature
    assert nll(sample, temperature) <= nll(sample)
    scaled = (sample.logits / temperature).argmax(axis=1)
    np.testing.assert_array_equal(scaled, sample.logits.argmax(axis=1))
    scan = sorted((phantoms / "imagesTr").iterdir())[0]
    after = open_bundle(root, "cpu").segmenter(uncertainty=True, interval=True)(scan)
    np.testing.assert_array_equal(after.labels, opened.segmenter()(scan).labels)


def test_true_volumes_are_those_of_the_label_files(calibrated, phantoms):
    _, _, found = calibrated
    for path, truth in zip(
        sorted((phantoms / "labelsTr").iterdir()), found.measured.truths_ml, strict=True
    ):
        label = nib.load(path)
        voxels = int((np.asarray(label.dataobj) == 1).sum())
        ml = abs(np.linalg.det(label.affine[:3, :3])) / 1000
        assert truth == {1: pytest.approx(voxels * ml)}


@pytest.mark.slow
def test_checking_writes_nothing_and_finds_what_calibration_found(calibrated, phantoms):
    root, _, found = calibrated
    before = {path: path.read_bytes() for path in (root / "configs").iterdir()}
    _, checked = calibrate(root, phantoms, device="cpu", intervals=True, check=True)
    assert checked.confidence == found.confidence
    for name, values in checked.before_and_after.items():
        assert values == pytest.approx(found.before_and_after[name])
    assert checked.count_covered(1) == found.count_covered(1)
    assert {path: path.read_bytes() for path in (root / "configs").iterdir()} == before


def test_a_temperature_alone_leaves_the_intervals_as_they_were(calibrated, phantoms, tmp_path):
    root, cases = tmp_path / "bundle", find_cases(phantoms)
    shutil.copytree(calibrated[0], root)
    before = config(root)["interval"]
    (tmp_path / "list.json").write_text(json.dumps({"training": cases[:2]}))
    calibrate(root, tmp_path / "list.json", device="cpu")
    assert config(root)["interval"] == before
    said = config(root, "metadata")["calibration"]
    assert (len(said["cases"]), len(said["interval_cases"])) == (2, 4)


def test_it_says_in_which_mode_the_cases_were_seen(tiny_bundle, phantoms, tmp_path):
    """The locator of the tiny bundle is not trained: it finds nothing plausible, and all windows run."""
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    path = root / "configs" / "inference.json"
    changed = config(root)
    changed["displayable_configs"]["focus"] = True
    path.write_text(json.dumps(changed))
    with pytest.warns(ScanWarning, match="full mode: "):
        calibrate(root, phantoms, device="cpu")
    assert config(root, "metadata")["calibration"]["mode"] == "full"


def test_references_of_other_values_are_refused_or_mapped(tiny_bundle, phantoms, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    cases = find_cases(phantoms)
    for number, case in enumerate(cases):
        image = nib.load(case["label"])
        organs = np.asarray(image.dataobj).astype(np.uint8) * 7
        organs[0, 0, 0] = 2  # among organs the liver, in the bundle a tumour
        case["label"] = str(tmp_path / f"{number}.nii.gz")
        nib.save(nib.Nifti1Image(organs, image.affine), case["label"])
    (tmp_path / "list.json").write_text(json.dumps({"training": cases}))
    before = config(root)
    fails(
        "0.nii.gz: unknown label values (got 7, expected 0, 1, 2)",
        calibrate,
        root,
        tmp_path / "list.json",
    )
    assert config(root) == before
    _, mapped = calibrate(root, tmp_path / "list.json", classes={7: 1}, device="cpu")
    _, plain = calibrate(root, phantoms, device="cpu")
    assert mapped.measured.truths_ml == plain.measured.truths_ml
    assert mapped.confidence == plain.confidence


def test_all_grids_are_looked_at_before_the_first_case(tiny_bundle, phantoms, tmp_path):
    cases = find_cases(phantoms)
    for number in (1, 3):  # the first is stored otherwise
        copy = shutil.copy(cases[0]["label"], tmp_path / f"{number}.nii.gz")
        cases[number]["label"] = str(copy)
    (tmp_path / "list.json").write_text(json.dumps({"training": cases}))
    with pytest.raises(Faults) as found:
        calibrate(tiny_bundle, tmp_path / "list.json", device="cpu", check=True)
    for line, number in zip(found.value.lines, (1, 3), strict=True):
        assert f"is not on the grid of {cases[number]['image']}" in line


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:backend openvino")  # balanced weights: close calls are many
def test_a_network_of_slices_is_mirrored_in_their_two_axes(tiny_slice_bundle, phantoms):
    _, found = calibrate(tiny_slice_bundle, phantoms, device="cpu", intervals=True, check=True)
    assert {len(views) for views in found.measured.views_ml} == {1 + 4 + 2}
    assert found.measured.voxels > 0


def test_a_shipped_bundle_stays_as_it_is(phantoms):
    before = config(find_bundle(DEFAULT_BUNDLE))
    fails("a shipped bundle cannot be changed", calibrate, DEFAULT_BUNDLE, phantoms)
    assert config(find_bundle(DEFAULT_BUNDLE)) == before


def test_without_a_training_there_must_be_data(tiny_bundle):
    fails("not the folder of a training", calibrate, tiny_bundle)


def test_values_that_were_fitted_for_other_weights_are_left_out(calibrated, phantoms, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(calibrated[0], root)
    state = torch.load(root / "models" / "model.pt", weights_only=True)
    torch.save({name: value + 1e-3 for name, value in state.items()}, root / "models" / "model.pt")
    with pytest.warns(UserWarning, match="were fitted for other weights, and are left out; run"):
        segmenter = open_bundle(root, "cpu").segmenter(interval=True)
    assert segmenter.confidence == Confidence()
    with pytest.warns(UserWarning, match="were fitted for other weights"):
        calibrate(root, phantoms, device="cpu", check=True)


def test_intervals_of_other_weights_end_with_a_new_temperature(calibrated, phantoms, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(calibrated[0], root)
    state = torch.load(root / "models" / "model.pt", weights_only=True)
    torch.save({name: value + 1e-3 for name, value in state.items()}, root / "models" / "model.pt")
    assert config(root)["interval"]["factors"]
    calibrate(root, phantoms, device="cpu")
    assert config(root)["interval"]["factors"] == {}


@pytest.mark.parametrize("other", [None, "by hand", {}])
def test_another_word_on_calibration_in_the_metadata_is_no_fault(tiny_bundle, tmp_path, other):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    path = root / "configs" / "metadata.json"
    path.write_text(json.dumps({**config(root, "metadata"), "calibration": other}))
    assert open_bundle(root, "cpu").segmenter(interval=True).confidence == Confidence()


def test_cases_without_any_label_calibrate_nothing(tiny_bundle, phantoms, tmp_path):
    root, data = tmp_path / "bundle", tmp_path / "data"
    shutil.copytree(tiny_bundle, root)
    shutil.copytree(phantoms, data)
    for path in (data / "labelsTr").iterdir():
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), path)
    fails("no label file has pancreas ", calibrate, root, data)
    assert config(root) == config(tiny_bundle)


def test_a_network_of_nan_is_not_calibrated(tiny_bundle):
    sample = VoxelSample(np.full((1, 2), np.nan, np.float32), np.array([1]), np.ones(1))
    seen = Measurements(("a",), sample, 1, ({1: 1.0},))
    fails("logits that are not finite", _check, seen, opened_like(tiny_bundle), None)


@pytest.mark.parametrize(
    ("label_map", "classes"),
    [(None, {0: 0, 1: 1}), ({"7": 1}, {0: 0, 1: 1, 7: 1}), ("@x", None), ({"a": 1}, None)],
)
def test_a_bundle_knows_the_values_of_its_label_files(tiny_bundle, tmp_path, label_map, classes):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    opened = open_bundle(root, "cpu", backend="eager")
    path = root / "configs" / "train.json"
    path.unlink()
    if label_map is not None:
        path.write_text(json.dumps({"label_map": label_map}))
    if classes:
        assert opened.classes == classes
    else:
        fails("train.json: invalid label_map", lambda: opened.classes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", "hot"),
        ("interval", {"factors": {"7": 1.0}}),
        ("interval", {"factors": {"pancreas": 1.0}}),
        ("interval", {"factors": {"1": -2.0}}),
        ("interval", {"flip_axes": [3]}),
        ("interval", 5),
    ],
)
def test_values_that_mean_nothing_are_refused(tiny_bundle, tmp_path, name, value):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    path = root / "configs" / "inference.json"
    path.write_text(json.dumps({**config(root), name: value}))
    fails("inference.json: invalid temperature or interval", open_bundle, root, "cpu")


# --- which views, and how wide: from volumes alone


def measured(truths, *views):
    """Cases of one label: the true volume, and that of the plain view, four grey ones and the flips."""
    seen = tuple(tuple({1: ml} if ml else {} for ml in case) for case in views)
    return Measurements(
        tuple("abcdefgh"[: len(truths)]), NOTHING, 0, tuple({1: ml} for ml in truths), seen
    )


def opened_like(tiny_bundle):
    return open_bundle(tiny_bundle, "cpu", backend="eager")


def test_only_mirror_images_that_do_no_harm_are_used(tiny_bundle):
    grey = [100.0, 99, 101, 100, 100]
    found = fit(
        measured([104.0, 96, 104, 96], *[[*grey, 3.0, 105, 95]] * 4), opened_like(tiny_bundle)
    )
    assert found.flip_axes == (1, 2)
    views = volumes_of(1, measured([104.0], [*grey, 3.0, 105, 95]), found.flip_axes)[1]
    assert views == [[*grey, 105, 95]]


def test_the_factor_holds_the_cases_it_was_fitted_on(tiny_bundle):
    cases = measured([104.0, 96, 103, 98], *[[100.0, 98, 102, 100, 100, 0.0, 0, 0]] * 4)
    found = Calibration(fit(cases, opened_like(tiny_bundle)), cases)
    assert found.confidence.factors[1] == pytest.approx(
        4 / np.std([100, 98, 102, 100, 100]), abs=1e-4
    )
    assert found.count_covered(1) == (4, 4)


def test_too_few_cases_with_a_label_give_it_no_width(tiny_bundle):
    cases = measured([104.0, 0, 0, 0], *[[100.0] * 8], *[[0.0] * 8] * 3)
    found = Calibration(fit(cases, opened_like(tiny_bundle)), cases)
    assert found.confidence.factors == {}
    assert found.count_covered(1) is None


def test_cases_with_ignored_voxels_have_no_true_volume(tiny_bundle):
    """The third was labelled on some slices only: its volume would be taken for a third of it."""
    views = [[100.0, 98, 102, 100, 100, 0.0, 0, 0]] * 5
    cases = measured([104.0, 96, 33, 103, 98], *views)
    without = measured([104.0, 96, 103, 98], *views[:4])
    partly = replace(cases, partly=("c",))
    assert volumes_of(1, partly, (0,)) == volumes_of(1, without, (0,))
    assert fit(partly, opened_like(tiny_bundle)) == fit(without, opened_like(tiny_bundle))
    assert fit(cases, opened_like(tiny_bundle)) != fit(without, opened_like(tiny_bundle))


# --- as a command


def test_the_command_shows_before_and_after(tiny_bundle, phantoms, tmp_path):
    root = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, root)
    words = ["calibrate", str(root), str(phantoms), "--device", "cpu"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said = config(root, "metadata")["calibration"]
    assert f"{said['ece']['before']:.5f}" in result.output
    assert f"{said['ece_doubtful']['after']:.5f}" in result.output
    assert f"4 cases, {said['voxels']} voxels" in result.output
    # the network of a test knows nothing, and its temperature is the largest
    assert f"check: {root}: the temperature 9.9999 is the end of its range" in result.output


def test_a_structure_with_masks_is_the_label_of_its_name(tiny_bundle, phantoms, tmp_path):
    case = find_cases(phantoms)[0]
    (tmp_path / "s0001" / "segmentations").mkdir(parents=True)
    shutil.copy(case["image"], tmp_path / "s0001" / "ct.nii.gz")
    for name in ("pancreas", "spleen"):
        shutil.copy(case["label"], tmp_path / "s0001" / "segmentations" / f"{name}.nii.gz")
    options = {"check": True, "device": "cpu"}
    _, found = calibrate(tiny_bundle, tmp_path, labels=["pancreas"], **options)
    assert found.measured.truths_ml[0][1] > 0
    message = f"{tmp_path}: spleen is no label of the bundle"
    fails(message, calibrate, tiny_bundle, tmp_path, labels=["1=spleen"], **options)
    message = f"{phantoms}: has no mask for each structure"
    fails(message, calibrate, tiny_bundle, phantoms, labels=["pancreas"], **options)
