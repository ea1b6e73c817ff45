import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai import transforms as T
from monai.data import MetaTensor
from monai.metrics import DiceMetric

from grids import AFFINES, RAS, SHAPE, SHEARED, SPACING
from monai_attn.datasets.ignore import IGNORED
from monai_attn.io.scan import read_volume
from monai_attn.transforms.monai_io import LabelWriter, VolumeReader, as_tensor
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

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")

RANGE = (-100.0, 300.0)  # HU that become 0 and 1
BLOB = (slice(4, 14), slice(3, 12), slice(2, 10))  # off the middle, so that a flip shows
LOW, HIGH = -100.0, 300.0  # HU around the blob and in it


def scan_values():
    values = np.full(SHAPE, LOW, np.int16)
    values[BLOB] = HIGH
    return values


def save(path, values, affine=RAS, *, qform=True):
    image = nib.Nifti1Image(values, None)
    image.set_sform(affine, code=1)
    if qform:
        image.set_qform(affine, code=1)
    image.to_filename(path)
    return str(path)


def pair(folder, affine=RAS):
    image = save(folder / "scan.nii.gz", scan_values(), affine)
    label = save(folder / "label.nii.gz", (scan_values() == HIGH).astype(np.uint8), affine)
    return {"image": image, "label": label}


def fake_logits(image):
    """Background and foreground logits whose softmax is the image: the foreground is what is bright."""
    return torch.cat([1 - image, image]).clamp(1e-6, 1).log()


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def centre(mask, affine):
    """The centre of a mask, mm."""
    return nib.affines.apply_affine(affine, np.argwhere(mask).mean(axis=0))


# --- what the network sees


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_preprocessing_gives_ras_the_spacing_and_0_to_1(tmp_path, affine):
    image = preprocessing(SPACING, RANGE)(
        {"image": save(tmp_path / "a.nii", scan_values(), affine)}
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
        {"image": save(tmp_path / "a.nii", scan_values(), affine)}
    )
    image = image["image"]
    bright = image[0].numpy()
    index = np.stack(np.meshgrid(*map(np.arange, bright.shape), indexing="ij"), -1)
    middle = np.average(index.reshape(-1, 3), axis=0, weights=bright.ravel())
    found = nib.affines.apply_affine(image.affine.numpy(), middle)
    np.testing.assert_allclose(found, centre(scan_values() == HIGH, affine), atol=0.5)  # mm


@pytest.mark.parametrize(("hu", "value"), [(-2000, 0), (-100, 0), (0, 0.25), (100, 0.5), (3000, 1)])
def test_hounsfield_units_to_0_to_1(tmp_path, hu, value):
    path = save(tmp_path / "a.nii", np.full(SHAPE, hu, np.int16))
    image = preprocessing(SPACING, RANGE)({"image": path})["image"]
    np.testing.assert_allclose(image, value, atol=1e-6)


def test_a_scan_is_checked_on_the_way_in(tmp_path):
    path = save(tmp_path / "a.nii.gz", scan_values())
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
    path = save(tmp_path / "a.nii", scan_values(), affine, qform=False)  # code 0: not to be used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of MONAI's readers miss a decoder of DICOM
        read = T.LoadImage(image_only=True)
    assert not np.allclose(read(path).affine, affine, atol=0.1)
    read.register(VolumeReader())
    np.testing.assert_allclose(read(path).affine, affine, atol=1e-4)


def test_one_image_is_one_file(tmp_path):
    path = save(tmp_path / "a.nii", scan_values())
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
    path = save(tmp_path / "a.nii", scan_values(), AFFINES["oblique"])
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


# --- from logits to a file on the scan's grid


def segment(path, out, **options):
    """What a bundle does with a scan, the network being `fake_logits`."""
    steps = preprocessing(SPACING, RANGE)
    data = steps({"image": path})
    data["pred"] = fake_logits(data["image"])
    return postprocessing(str(out), **options)(data)


@pytest.mark.parametrize("qform", [True, False], ids=["both forms", "sform only"])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_labels_come_back_over_the_voxels_they_came_from(tmp_path, affine, qform):
    path = save(tmp_path / "scan.nii.gz", scan_values(), affine, qform=qform)
    segment(path, tmp_path / "out")
    (written,) = (tmp_path / "out").iterdir()
    assert written.name == "scan_seg.nii.gz"
    labels, scan = nib.load(written), nib.load(path)
    assert labels.shape == SHAPE
    assert labels.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(labels.affine, scan.affine)
    values = np.asarray(labels.dataobj)
    assert set(np.unique(values)) == {0, 1}
    assert dice(values == 1, scan_values() == HIGH) > 0.9
    shift = centre(values == 1, affine) - centre(scan_values() == HIGH, affine)
    np.testing.assert_allclose(shift, 0, atol=0.5)  # mm; a voxel is 1 to 5
    assert int(labels.header["sform_code"]) == 1


def test_a_sheared_scan_gets_labels_on_its_sheared_grid(tmp_path):
    """A tilted gantry: no rotation and spacing can hold it."""
    path = save(tmp_path / "scan.nii", scan_values(), SHEARED, qform=False)
    segment(path, tmp_path / "out")
    labels = nib.load(tmp_path / "out" / "scan_seg.nii.gz")
    np.testing.assert_allclose(labels.affine, SHEARED, atol=1e-4)
    assert dice(np.asarray(labels.dataobj) == 1, scan_values() == HIGH) > 0.9


def test_many_classes(tmp_path):
    """Each label lands on its own blob: the order of the channels is kept."""
    values = np.full(SHAPE, LOW, np.int16)
    values[2:9, 3:12, 2:10] = 100
    values[11:17, 3:9, 4:10] = HIGH
    steps = preprocessing(SPACING, RANGE)
    data = steps({"image": save(tmp_path / "scan.nii", values)})
    data["pred"] = torch.cat([-60 * (data["image"] - level).abs() for level in (0, 0.5, 1)])
    postprocessing(str(tmp_path / "out"))(data)
    labels = np.asarray(nib.load(tmp_path / "out" / "scan_seg.nii.gz").dataobj)
    np.testing.assert_array_equal(labels, np.searchsorted([LOW, 100, HIGH], values))


def test_where_and_how_labels_are_written(tmp_path):
    path = save(tmp_path / "scan.nii", scan_values())
    segment(path, tmp_path, output_postfix="mask", output_ext=".nii", separate_folder=True)
    assert (tmp_path / "scan" / "scan_mask.nii").is_file()


def writer_for(labels, meta, channel_dim=0):
    writer = LabelWriter()
    writer.set_data_array(labels, channel_dim=channel_dim)
    writer.set_metadata(meta)
    return writer


def meta_of(affine, original=RAS, shape=SHAPE):
    return {
        "affine": affine,
        "original_affine": original,
        "spatial_shape": shape,
        "filename_or_obj": "scan.nii",
        "form_code": 3,
    }


# the labels' shape, their affine
OFF_THE_GRID = {
    "another shape": (SHAPE[::-1], RAS),
    "another spacing": (SHAPE, RAS @ np.diag([2, 1, 1, 1])),
    "another orientation": (SHAPE, AFFINES["LPS"]),
    "moved": (SHAPE, RAS + np.eye(4, k=3) * 0.01),
}


@pytest.mark.parametrize(("shape", "affine"), OFF_THE_GRID.values(), ids=OFF_THE_GRID.keys())
def test_labels_off_the_scans_grid_are_refused(shape, affine):
    with pytest.raises(
        ValueError, match=r"^scan\.nii: the labels are not on the scan's grid\. Inv"
    ):
        writer_for(torch.zeros(1, *shape), meta_of(affine))


@pytest.mark.parametrize("channel_dim", [0, None, -1])
def test_labels_on_the_scans_grid_are_written(tmp_path, channel_dim):
    labels = torch.from_numpy((scan_values() == HIGH).astype(np.float32))
    shaped = labels if channel_dim is None else labels.unsqueeze(channel_dim)
    writer_for(shaped, meta_of(RAS), channel_dim).write(tmp_path / "a.nii.gz")
    written = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels.numpy())
    np.testing.assert_array_equal(written.affine, RAS)
    assert int(written.header["sform_code"]) == 3


def test_probabilities_are_not_written_as_labels(tmp_path):
    writer = writer_for(torch.full((1, *SHAPE), 0.4), meta_of(RAS))
    with pytest.raises(ValueError, match="expected whole numbers from 0"):
        writer.write(tmp_path / "a.nii.gz")


# --- training and evaluation

ROI = (8, 8, 8)


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_evaluation_leaves_the_label_on_the_scans_grid(tmp_path, affine):
    data = evaluation(SPACING, RANGE)(pair(tmp_path, affine))
    np.testing.assert_array_equal(data["label"][0], scan_values() == HIGH)
    np.testing.assert_allclose(data["label"].affine, affine)
    np.testing.assert_allclose(nib.affines.voxel_sizes(data["image"].affine.numpy()), SPACING)


@pytest.mark.parametrize("moved", [np.diag([1.0, 1, -1, 1]), np.diag([1.01, 1, 1, 1])])
def test_a_label_on_another_grid_than_its_image_is_refused(tmp_path, moved):
    files = pair(tmp_path, RAS)
    save(Path(files["label"]), (scan_values() == HIGH).astype(np.uint8), moved @ RAS)
    with pytest.raises(RuntimeError) as raised:
        validation(SPACING, RANGE)(files)
    assert f"{files['label']}: is not on the grid of {files['image']}" in str(
        raised.value.__cause__
    )


def test_a_label_map_is_never_written_over_the_scan(tmp_path):
    scan = save(tmp_path / "a.nii.gz", scan_values(), RAS)
    before = Path(scan).read_bytes()
    steps = preprocessing(SPACING, RANGE)
    data = steps({"image": scan})
    data["pred"] = torch.cat([1 - data["image"], data["image"]])
    with pytest.raises(RuntimeError) as raised:
        postprocessing(str(tmp_path), output_postfix="")(data)
    assert "is the scan itself" in str(raised.value.__cause__)
    assert Path(scan).read_bytes() == before


def test_labels_are_written_in_the_type_asked_for(tmp_path):
    scan = save(tmp_path / "a.nii.gz", scan_values(), RAS)
    steps = preprocessing(SPACING, RANGE)
    data = steps({"image": scan})
    data["pred"] = torch.cat([1 - data["image"], data["image"]])
    postprocessing(str(tmp_path / "out"), output_dtype="int16")(data)
    assert nib.load(tmp_path / "out" / "a_seg.nii.gz").get_data_dtype() == np.int16


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_validation_puts_the_label_on_the_images_grid(tmp_path, affine):
    data = validation(SPACING, RANGE)(pair(tmp_path, affine))
    image, label = data["image"], data["label"]
    assert image.shape == label.shape
    assert type(image) is type(label) is torch.Tensor  # as a cache keeps them
    assert label.dtype == torch.uint8
    assert set(label.unique().tolist()) == {0, 1}
    assert dice(label[0].numpy() == 1, image[0].numpy() > 0.5) > 0.9


def windows(folder, seed=0, num_samples=4, roi=ROI, affine=RAS, **options):
    steps = training(SPACING, RANGE, roi, num_samples, **options)
    steps.set_random_state(seed)
    return steps(pair(folder, affine))


@pytest.mark.parametrize("num_samples", [1, 4])
def test_training_gives_windows(tmp_path, num_samples):
    samples = windows(tmp_path, num_samples=num_samples)
    assert len(samples) == num_samples
    for sample in samples:
        image, label = sample["image"], sample["label"]
        assert image.shape == label.shape == (1, *ROI)
        assert not isinstance(image, MetaTensor)
        assert image.dtype == torch.float32
        assert not label.dtype.is_floating_point
        assert set(label.unique().tolist()) <= {0, 1}
        assert -0.4 < image.min() <= image.max() < 1.4  # noise and shifts may leave 0..1 a little


def test_domain_randomization_changes_windows_more(tmp_path):
    levels = []
    for far in (False, True):  # the whole scan each time: what differs is the augmentation
        samples = windows(tmp_path, num_samples=8, roi=SHAPE, domain_randomization=far)
        levels.append(torch.stack([sample["image"].mean() for sample in samples]).std())
    assert levels[1] > 2 * levels[0]
    (sample,) = windows(tmp_path, num_samples=1, domain_randomization=True)
    assert sample["image"].dtype == torch.float32
    assert set(sample["label"].unique().tolist()) <= {0, 1}


def test_with_two_sizes_a_window_is_a_part_of_one_axial_slice(tmp_path):
    """The scan's brightness says how high a slice lies."""
    values = np.broadcast_to(np.arange(16, dtype=np.int16) * 10, (20, 16, 16))
    image = save(tmp_path / "i.nii", values, np.eye(4))
    label = save(tmp_path / "l.nii", np.ones((20, 16, 16), np.uint8), np.eye(4))
    steps = training((1, 1, 1), (0, 150), (8, 12), num_samples=40)
    steps.set_random_state(0)
    samples = steps({"image": image, "label": label})
    assert {tuple(s[key].shape) for s in samples for key in s} == {(1, 8, 12)}
    heights = torch.stack([s["image"].median() for s in samples])
    assert len(heights.unique()) > 5
    still = [s["image"] for s in samples if s["image"].std() == 0]  # not given noise
    assert len(still) > 5


def test_training_pads_a_scan_smaller_than_the_window(tmp_path):
    (sample,) = windows(tmp_path, num_samples=1, roi=(24, 24, 24))
    assert sample["image"].shape == sample["label"].shape == (1, 24, 24, 24)


def test_windows_are_the_seeds_alone(tmp_path):
    first, again, other = (
        torch.stack([s["image"] for s in windows(tmp_path, i)]) for i in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_half_of_the_windows_are_centred_on_the_foreground(tmp_path):
    """A blob of 4 voxels in a large scan: a window at random hardly ever holds it in its centre."""
    shape = (40, 40, 40)
    label = np.zeros(shape, np.uint8)
    label[8:12, 8:12, 8:12] = 1
    case = {
        "image": save(tmp_path / "i.nii", label.astype(np.int16) * 100),
        "label": save(tmp_path / "l.nii", label),
    }
    steps = training(SPACING, RANGE, ROI, num_samples=200)
    steps.set_random_state(0)
    share = np.mean([bool(sample["label"].any()) for sample in steps(case)])
    assert 0.4 < share < 0.65


def overlaps(samples):
    """Dice of what is bright and what is labelled, in the windows that hold enough of it."""
    found = []
    for sample in samples:
        image, label = sample["image"], sample["label"] > 0
        if label.sum() > 30:
            bright = image > (image.min() + image.max()) / 2
            found.append(dice(bright.numpy(), label.numpy()))
    return found


def test_image_and_label_of_a_window_stay_together(tmp_path):
    """Exactly where both move; nearly where contrast, sharpness and resolution of the image vary too."""
    steps = training(SPACING, RANGE, ROI, num_samples=20)
    moving = T.Compose(
        [
            step
            for step in steps.transforms
            if not (isinstance(step, T.Randomizable) and step.keys == ("image",))
        ]
    )
    moving.set_random_state(0)
    assert sum(isinstance(step, T.RandAffined) for step in moving.transforms) == 1
    assert min(overlaps(moving(pair(tmp_path)))) > 0.85
    varied = overlaps(windows(tmp_path, num_samples=20))
    assert min(varied) > 0.6
    assert np.median(varied) > 0.9


def test_windows_are_never_flipped(tmp_path):
    """Left and right are not alike: brightness that grows to the right keeps doing so."""
    values = np.broadcast_to(np.arange(20)[:, None, None] * 20 - 100, SHAPE).astype(np.int16)
    label = (scan_values() == HIGH).astype(np.uint8)
    case = {"image": save(tmp_path / "i.nii", values), "label": save(tmp_path / "l.nii", label)}
    steps = training(SPACING, RANGE, ROI, num_samples=50)
    steps.set_random_state(0)
    for sample in steps(case):
        image = sample["image"][0]
        assert image[-1].mean() > image[0].mean()


def test_what_a_cache_may_keep_comes_before_what_is_random():
    steps = training(SPACING, RANGE, ROI).transforms
    chance = [isinstance(step, T.Randomizable) for step in steps]
    steady = {type(step).__name__ for step in steps[: chance.index(True)]}
    assert {"LoadImaged", "CheckLabeld", "ResampleRASd", "ClassesToIndicesd"} <= steady
    assert sum(chance) > 3


# --- an ignore value


def sparse_pair(folder, every=3, first=0, affine=RAS):
    """A label known on every third slice along the last axis; the rest holds 9."""
    files = pair(folder, affine)
    labels = (scan_values() == HIGH).astype(np.uint8)
    known = np.arange(SHAPE[2]) % every == first
    labels[:, :, ~known] = 9
    save(Path(files["label"]), labels, affine)
    return files, known


def test_windows_are_centred_on_known_voxels_only(tmp_path):
    """A window of one voxel is its centre."""
    files, _ = sparse_pair(tmp_path)
    steps = training(nib.affines.voxel_sizes(RAS), RANGE, (1, 1, 1), num_samples=300, ignore=9)
    steps.set_random_state(0)
    labels = torch.cat([sample["label"].flatten() for sample in steps(files)])
    assert set(labels.tolist()) == {0, 1}
    assert 100 < labels.sum() < 200  # half of them on the foreground, as ever


@pytest.mark.parametrize("options", [{}, {"domain_randomization": True}], ids=str)
def test_augmentation_mixes_no_ignored_voxel_with_another(tmp_path, options):
    files, _ = sparse_pair(tmp_path)
    steps = training(SPACING, RANGE, ROI, num_samples=20, ignore=9, **options)
    steps.set_random_state(0)
    samples = steps(files)
    assert {v for s in samples for v in s["label"].unique().tolist()} == {0, 1, IGNORED}
    assert {s["label"].dtype for s in samples} == {torch.uint8}


def test_what_lies_outside_the_scan_is_background_as_ever():
    large = tuple(2 * n for n in SHAPE)
    steps = training(nib.affines.voxel_sizes(RAS), RANGE, large, num_samples=1, ignore=9)
    padded = next(step for step in steps.transforms if isinstance(step, T.SpatialPadd))
    label = torch.full((1, *SHAPE), IGNORED, dtype=torch.uint8)
    out = padded({"image": label, "label": label})["label"]
    assert int((out == IGNORED).sum()) == label.numel()
    assert int((out == 0).sum()) == out.numel() - label.numel()


def test_a_validation_label_is_ignored_where_its_file_says(tmp_path):
    files, known = sparse_pair(tmp_path)
    label = validation(nib.affines.voxel_sizes(RAS), RANGE, ignore=9)(files)["label"]
    assert label.dtype == torch.uint8
    ignored = (label[0] == IGNORED).numpy()
    assert ignored[:, :, ~known].all()
    assert not ignored[:, :, known].any()


def test_a_grid_between_the_known_slices_is_refused(tmp_path):
    files, _ = sparse_pair(tmp_path, every=8, first=3)
    coarse = nib.affines.voxel_sizes(RAS) * (1, 1, 8)  # of 16 slices the first and the ninth
    with pytest.raises(RuntimeError) as raised:
        training(coarse, RANGE, ROI, ignore=9)(files)
    said = str(raised.value.__cause__)
    assert said.startswith(f"{files['label']}: every voxel is ignored on the network's grid")
    training(coarse, RANGE, ROI)(pair(tmp_path))


def test_metrics_during_training_count_known_voxels_only():
    torch.manual_seed(0)
    label = torch.randint(0, 3, (1, 9, 6, 4), dtype=torch.uint8)
    logits, known = torch.randn(3, 9, 6, 4), torch.arange(9) % 3 == 0
    label[:, ~known] = IGNORED
    score = DiceMetric(include_background=False, num_classes=3)
    found, cut, all_counted = (
        score(discretize(ignore)({"pred": x, "label": y})["pred"][None], y[None])
        for ignore, x, y in (
            (9, logits, label),
            (None, logits[:, known], label[:, known]),
            (None, logits, label),
        )
    )
    torch.testing.assert_close(found, cut)
    assert not torch.allclose(found, all_counted)


def test_what_is_written_has_a_class_everywhere_and_what_is_scored_has_not(tmp_path):
    files, known = sparse_pair(tmp_path)
    data = evaluation(SPACING, RANGE, ignore=9)(files)
    data["pred"] = fake_logits(data["image"])
    out = postprocessing(str(tmp_path / "out"), ignore=9)(data)
    written = np.asarray(nib.load(tmp_path / "out" / "scan_seg.nii.gz").dataobj)
    assert set(np.unique(written)) == {0, 1}
    assert set(np.unique(out["pred"][0][:, :, ~known])) == {IGNORED}
    np.testing.assert_array_equal(out["pred"][0][:, :, known], written[:, :, known])


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
