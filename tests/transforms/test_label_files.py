"""Labels on their way from logits to a file on the grid of the scan."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from grids import AFFINES, RAS, SHAPE, SHEARED, SPACING
from monai_attn.transforms.monai_io import LabelWriter
from monai_attn.transforms.pipelines import postprocessing, preprocessing
from tests.transforms.bright_blob import (
    HIGH,
    LOW,
    RANGE,
    centre,
    dice,
    fake_logits,
    save_volume,
    scan_values,
)

# --- from logits to a file on the scan's grid

# the scans here are blocks, and no CT
pytestmark = pytest.mark.filterwarnings("ignore::monai_attn.io.errors.ScanWarning")


def segment(path, out, **options):
    """What a bundle does with a scan, the network being `fake_logits`."""
    steps = preprocessing(SPACING, RANGE)
    data = steps({"image": path})
    data["pred"] = fake_logits(data["image"])
    return postprocessing(str(out), **options)(data)


@pytest.mark.parametrize("qform", [True, False], ids=["both forms", "sform only"])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
def test_labels_come_back_over_the_voxels_they_came_from(tmp_path, affine, qform):
    path = save_volume(tmp_path / "scan.nii.gz", scan_values(), affine, qform=qform)
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
    path = save_volume(tmp_path / "scan.nii", scan_values(), SHEARED, qform=False)
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
    data = steps({"image": save_volume(tmp_path / "scan.nii", values)})
    data["pred"] = torch.cat([-60 * (data["image"] - level).abs() for level in (0, 0.5, 1)])
    postprocessing(str(tmp_path / "out"))(data)
    labels = np.asarray(nib.load(tmp_path / "out" / "scan_seg.nii.gz").dataobj)
    np.testing.assert_array_equal(labels, np.searchsorted([LOW, 100, HIGH], values))


def test_where_and_how_labels_are_written(tmp_path):
    path = save_volume(tmp_path / "scan.nii", scan_values())
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


def test_a_label_map_is_never_written_over_the_scan(tmp_path):
    scan = save_volume(tmp_path / "a.nii.gz", scan_values(), RAS)
    before = Path(scan).read_bytes()
    steps = preprocessing(SPACING, RANGE)
    data = steps({"image": scan})
    data["pred"] = torch.cat([1 - data["image"], data["image"]])
    with pytest.raises(RuntimeError) as raised:
        postprocessing(str(tmp_path), output_postfix="")(data)
    assert "is the scan itself" in str(raised.value.__cause__)
    assert Path(scan).read_bytes() == before


def test_labels_are_written_in_the_type_asked_for(tmp_path):
    scan = save_volume(tmp_path / "a.nii.gz", scan_values(), RAS)
    steps = preprocessing(SPACING, RANGE)
    data = steps({"image": scan})
    data["pred"] = torch.cat([1 - data["image"], data["image"]])
    postprocessing(str(tmp_path / "out"), output_dtype="int16")(data)
    assert nib.load(tmp_path / "out" / "a_seg.nii.gz").get_data_dtype() == np.int16
