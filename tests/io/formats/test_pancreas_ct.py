"""Label maps of Pancreas-CT, whose headers have no position, on the grid of their DICOM series."""

import nibabel as nib
import numpy as np
import pytest

from dicoms import series
from monai_attn.io.errors import ScanWarning
from monai_attn.io.formats.pancreas_ct import patient_of
from monai_attn.io.scan import open_scan, read_grid, read_volume
from scans import fails, touch

STORED = np.zeros((3, 6, 5), np.int16)  # slices to the head, rows to the back, columns to the left
STORED[0, 1, 1:4] = 1124  # 100 HU in the lowest slice, in front
HEADER = np.diag([-0.8, 0.7, -2.5, 1.0])  # to the left, to the front, to the feet; no position
LABELS = np.flip((STORED > 0).T, (1, 2)).astype(np.uint8)


def pancreas(root, labels=LABELS, affine=HEADER, stored=STORED):
    """The folders of one patient and of the labels, as they are downloaded."""
    patient = root / "Pancreas-CT" / "PANCREAS_0001" / "1.2.3" / "1.2.4"
    patient.mkdir(parents=True)
    series(patient, stored=stored)
    label = root / "TCIA_pancreas_labels-02-05-2017" / "label0001.nii.gz"
    label.parent.mkdir()
    nib.Nifti1Image(labels, affine).to_filename(label)
    return patient, label


def test_it_is_placed_by_its_axes_with_a_warning(tmp_path):
    patient, label = pancreas(tmp_path)
    with pytest.warns(
        ScanWarning, match=r"has no position; placed on the grid of .*1.2.4 by .*LAI"
    ):
        placed = read_volume(label, fill=None)
    scan = read_volume(patient)
    np.testing.assert_array_equal(placed.affine, scan.affine)
    np.testing.assert_array_equal(placed.data > 0, scan.data > 0)
    assert read_grid(label).path == label


def test_a_position_in_the_header_is_believed(tmp_path):
    moved = HEADER.copy()
    moved[:3, 3] = 1
    _, label = pancreas(tmp_path, affine=moved)
    np.testing.assert_allclose(read_volume(label, fill=None).affine, moved, atol=1e-6)


WRONG = {
    "another shape": (LABELS[:, :4], HEADER, "5 x 4 x 3 voxels"),
    "another spacing": (LABELS, HEADER @ np.diag([1, 1, 2, 1]), "voxels of 0.8 x 0.7 x 5 mm"),
    "oblique": (LABELS, np.diag([1, 1, 1, 1]) @ HEADER + 0.1 * np.eye(4, k=1), "does not fit"),
    "y as in the series": (LABELS, HEADER @ np.diag([1, -1, 1, 1]), "do not confirm its axes"),
    "z as in the series": (LABELS, HEADER @ np.diag([1, 1, -1, 1]), "do not confirm its axes"),
}


@pytest.mark.parametrize(("labels", "affine", "fault"), WRONG.values(), ids=WRONG)
def test_what_may_be_wrong_is_refused(tmp_path, labels, affine, fault):
    affine = affine.copy()
    affine[:3, 3] = 0
    _, label = pancreas(tmp_path, labels, affine)
    fails(fault, read_volume, label, fill=None)


def test_tissue_that_does_not_decide_is_refused(tmp_path):
    _, label = pancreas(tmp_path, stored=np.full_like(STORED, 1124))
    fails("100% in a mirror image", read_volume, label, fill=None)


def test_an_empty_label_map_is_placed(tmp_path):
    _, label = pancreas(tmp_path, np.zeros_like(LABELS))
    with pytest.warns(ScanWarning, match="has no position"):
        assert not open_scan(label).read(fill=None).data.any()


def test_only_a_label_map_beside_its_patient_is_one(tmp_path):
    touch(tmp_path, "img/img0001.nii.gz", "label/label0001.nii.gz")
    assert patient_of(tmp_path / "label" / "label0001.nii.gz") is None
    (tmp_path / "PANCREAS_0001").mkdir()
    assert patient_of(tmp_path / "label" / "label0001.nii.gz") == tmp_path / "PANCREAS_0001"
    assert patient_of(tmp_path / "label" / "label0002.nii.gz") is None
    assert patient_of(tmp_path / "label" / "a.nii.gz") is None
