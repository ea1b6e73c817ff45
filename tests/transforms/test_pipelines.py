"""None"""

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai import transforms as T

from grids import AFFINES, RAS, SHAPE, SPACING
from monai_attn.io.scan import read_volume
from monai_attn.transforms.monai_io import VolumeReader, as_tensor
from monai_attn.transforms.pipelines import (
    Discreted,
    ScaleInPlaced,
    discretize,
    evaluation,
    load,
    postprocessing,
    preprocessing,
    training,
    validation,
    without,
)
from tests.transforms.bright_blob import (
    HIGH,
    RANGE,
    centre,
    dice,
    save_pair,
    save_volume,
    scan_values,
)

# --- what the network sees

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_preprocessing_gives_ras_the_spacing_and_0_to_1(tmp_path, affine):
    image = preprocessing(SPACING, RANGE)(
        {"image": save_volume(tmp_path / "a.nii", scan_values(), affine)}
    )
    image = image["image"]
    assert (image.dtype, image.shape[0]) == (torch.float32, 1)
    assert nib.aff2axcodes(image.affine.numpy()) == ("R", "A", "S")
    np.testing.assert_allclose(nib.affines.voxel_sizes(image.affine.numpy()), SPACING, rtol=1e-5)
    assert image.min() == 0
    assert image.max() == pytest.approx(1, abs=1e-5)
    extent = np.sort(nib.affines.voxel_sizes(affine) * np.array(SHAPE))
    np.testing.assert_allclose(np.sort(np.array(image.shape[1:]) * SPACING), extent, atol=4)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_preprocessing_leaves_the_blob_in_its_place(tmp_path, affine):
    image = preprocessing(SPACING, RANGE)(
        {"image": save_volume(tmp_path / "a.nii", scan_values(), affine)}
    )
    image = image["image"]
    bright = image[0].numpy()
    index = np.stack(np.meshgrid(*map(np.arange, bright.shape), indexing="ij"), -1)
    middle = np.average(index.reshape(-1, 3), axis=0, weights=bright.ravel())
    found = nib.affines.apply_affine(image.affine.numpy(), middle)
    np.testing.assert_allclose(found, centre(scan_values() == HIGH, affine), atol=0.5)  # mm


@pytest.mark.parametrize(("hu", "value"), [(-2000, 0), (-100, 0), (0, 0.25), (100, 0.5), (3000, 1)])
def test_hounsfield_units_to_0_to_1(tmp_path, hu, value):
    path = save_volume(tmp_path / "a.nii", np.full(SHAPE, hu, np.int16))
    image = preprocessing(SPACING, RANGE)({"image": path})["image"]
    np.testing.assert_allclose(image, value, atol=1e-6)


def test_a_scan_is_checked_on_the_way_in(tmp_path):
    path = save_volume(tmp_path / "a.nii.gz", scan_values())
    raw = bytearray((tmp_path / "a.nii.gz").read_bytes())
    raw[-6] ^= 1  # of the checksum
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises(Exception, match=r"LoadImage|transform") as raised:
        preprocessing(SPACING, RANGE)({"image": path})
    causes = []
    error = raised.value
    while error:
        causes.append(str(error))
        error = error.__cause__
    assert any("a.nii.gz: cannot be read to its end" in cause for cause in causes)


def test_monai_reads_the_invalid_qform_and_this_reader_the_sform(tmp_path):
    """Why there is a reader: MONAI's places this scan elsewhere."""
    affine = AFFINES["oblique"]
    path = save_volume(
        tmp_path / "a.nii", scan_values(), affine, qform=False
    )  # code 0: not to be used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of MONAI's readers miss a decoder of DICOM
        read = T.LoadImage(image_only=True)
    assert not np.allclose(read(path).affine, affine, atol=0.1)
    read.register(VolumeReader())
    np.testing.assert_allclose(read(path).affine, affine, atol=1e-4)


def test_one_image_is_one_file(tmp_path):
    path = save_volume(tmp_path / "a.nii", scan_values())
    with pytest.raises(
        ValueError, match=r"wrong number of channels \(got 2: a.nii, a.nii, expected 1: CT"
    ):
        VolumeReader().read([path, path])
    assert VolumeReader().read([path]).path == tmp_path / "a.nii"


def test_what_is_no_scan_is_refused_and_not_given_to_another_reader(tmp_path):
    """MONAI has a reader for each of them, without checks."""
    np.save(tmp_path / "a.npy", scan_values())
    (tmp_path / "a.mnc").write_text("CDF")
    for name in ("a.npy", "a.mnc"):
        with pytest.raises(ValueError, match=rf"{name}: a scan in NIfTI \(.nii.gz or .nii\), NRRD"):
            load("image")[0]({"image": tmp_path / name})


def test_a_volume_in_memory_passes_as_its_file(tmp_path):
    path = save_volume(tmp_path / "a.nii", scan_values(), AFFINES["oblique"])
    steps = preprocessing(SPACING, RANGE)
    loaded = steps({"image": path})["image"]
    given = without(steps, T.LoadImaged)({"image": as_tensor(read_volume(path))})["image"]
    assert torch.equal(loaded, given)
    assert torch.equal(loaded.affine, given.affine)
    assert loaded.meta["filename_or_obj"] == given.meta["filename_or_obj"] == path


def test_without_leaves_out_the_steps_of_a_class():
    steps = preprocessing(SPACING, RANGE)
    assert list(without(steps, T.LoadImaged).transforms) == list(steps.transforms)[1:]
    assert len(without(steps, T.SaveImaged).transforms) == len(steps.transforms)


def test_a_step_is_known_by_its_class_and_not_by_its_name():
    class Writer(T.SaveImaged):
        """A step that saves under another name."""

    class CountSaveImages(T.Identityd):
        """Another step with a similar name."""

    steps = T.Compose([Writer("image"), CountSaveImages("image")])
    assert list(without(steps, T.SaveImaged).transforms) == [steps.transforms[1]]


@pytest.mark.parametrize(
    ("steps", "name", "place"),
    [
        (preprocessing(SPACING, RANGE), "LoadImaged", 0),
        (evaluation(SPACING, RANGE), "LoadImaged", 0),
        (validation(SPACING, RANGE), "LoadImaged", 0),
        (training(SPACING, RANGE, (8, 8, 8)), "LoadImaged", 0),
        (postprocessing("out"), "SaveImaged", -1),
    ],
)
def test_clients_find_the_transforms_that_load_and_save(steps, name, place):
    assert type(steps.transforms[place]).__name__ == name


def test_scaling_in_place_is_monais():
    image = torch.linspace(-1000, 1000, 300).reshape(1, 10, 10, 3)
    theirs = T.ScaleIntensityRanged("image", -150, 250, 0, 1, clip=True)({"image": image.clone()})
    ours = ScaleInPlaced("image", -150, 250)({"image": image})
    torch.testing.assert_close(ours["image"], theirs["image"])
    assert ours["image"] is image


# --- training and evaluation


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_evaluation_leaves_the_label_on_the_scans_grid(tmp_path, affine):
    data = evaluation(SPACING, RANGE)(save_pair(tmp_path, affine))
    np.testing.assert_array_equal(data["label"][0], scan_values() == HIGH)
    np.testing.assert_allclose(data["label"].affine, affine)
    np.testing.assert_allclose(nib.affines.voxel_sizes(data["image"].affine.numpy()), SPACING)


@pytest.mark.parametrize("moved", [np.diag([1.0, 1, -1, 1]), np.diag([1.01, 1, 1, 1])])
def test_a_label_on_another_grid_than_its_image_is_refused(tmp_path, moved):
    files = save_pair(tmp_path, RAS)
    save_volume(Path(files["label"]), (scan_values() == HIGH).astype(np.uint8), moved @ RAS)
    with pytest.raises(RuntimeError) as raised:
        validation(SPACING, RANGE)(files)
    assert f"{files['label']}: is not on the grid of {files['image']}" in str(
        raised.value.__cause__
    )


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_validation_puts_the_label_on_the_images_grid(tmp_path, affine):
    data = validation(SPACING, RANGE)(save_pair(tmp_path, affine))
    image, label = data["image"], data["label"]
    assert image.shape == label.shape
    assert type(image) is type(label) is torch.Tensor  # as a cache keeps them
    assert label.dtype == torch.uint8
    assert set(label.unique().tolist()) == {0, 1}
    assert dice(label[0].numpy() == 1, image[0].numpy() > 0.5) > 0.9


# --- logits to labels

LOGITS = torch.tensor([[0.0, 3.0, 1.0], [1.0, 2.0, 1.5], [2.0, 1.0, 1.0]])[..., None]  # (3, 3, 1)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        lambda x: [x, -x[:, :1]],
        lambda x: (x, -x),
        lambda x: [[x, -x[:, :1]], [[0.1, 0.2, 0.3]]],
    ],
)
def test_discrete_takes_the_finest_of_a_list(form):
    """Deep supervision gives a list, finest first; hard gates put their draws after it."""
    data = Discreted("pred")({"pred": form(LOGITS), "image": 1})
    assert data["pred"].tolist() == [[[2], [0], [1]]]
    assert data["image"] == 1


def test_discretize_is_for_predictions():
    data = discretize()({"pred": LOGITS, "label": LOGITS})
    assert data["pred"].shape == (1, 3, 1)
    assert torch.equal(data["label"], LOGITS)
