"""Probabilities in 16 bits: exact in their file, and one sum for classes."""

import nibabel as nib
import numpy as np
import pytest

from monai_attn.io.probability_encoding import ONE, StoredProbabilities
from monai_attn.io.scan import read_volume
from monai_attn.io.writer import write_probabilities

SHAPE = (4, 3, 2)


def stored(channels=2, of_classes=True):
    steps = np.random.default_rng(0).integers(0, ONE // channels, (*SHAPE, channels))
    return StoredProbabilities(np.asfortranarray(steps, np.uint16), of_classes=of_classes)


def test_the_background_is_the_rest():
    values = stored().fractions()
    assert values.shape == (*SHAPE, 3)
    np.testing.assert_allclose(values.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(values[..., 1:], stored().steps / ONE, atol=1e-7)


def test_regions_have_no_background():
    values = stored(of_classes=False).fractions()
    np.testing.assert_allclose(values, stored().steps / ONE, atol=1e-7)


def test_a_sum_above_1_leaves_no_background():
    full = StoredProbabilities(np.full((1, 1, 1, 2), ONE // 2 + 1, np.uint16), of_classes=True)
    assert full.fractions()[0, 0, 0, 0] == 0


@pytest.mark.parametrize("of_classes", [True, False])
def test_a_file_holds_them_on_the_scans_grid(tmp_path, of_classes):
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), affine)
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = read_volume(tmp_path / "scan.nii.gz")
    ours = stored(of_classes=of_classes)
    path = write_probabilities(tmp_path / "p.nii.gz", ours, scan)
    written = nib.load(path)
    assert written.get_data_dtype() == np.uint16
    assert written.shape == (*SHAPE, 2 + of_classes)
    np.testing.assert_array_equal(written.affine, affine)
    np.testing.assert_allclose(written.get_fdata(), ours.fractions(), atol=1e-7)


def test_a_scan_is_not_replaced(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4)), tmp_path / "scan.nii.gz")
    scan = read_volume(tmp_path / "scan.nii.gz")
    with pytest.raises(ValueError, match=r"scan\.nii\.gz: is the scan itself"):
        write_probabilities(tmp_path / "scan.nii.gz", stored(), scan)
