"""Images of other libraries: whatever the library, the same voxels at the same places."""

import warnings

import itk
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.utils import SpaceKeys

from monai_attn.io.errors import ScanWarning
from monai_attn.io.images import as_volume
from monai_attn.io.scan import read_volume
from scans import VALUES as NUMBERS
from scans import turned

VALUES = NUMBERS.astype(np.int16)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(VALUES, turned()), path)
    return path


def read_itk(path):
    with warnings.catch_warnings():  # SWIG's own, and an error inside it ends the process
        warnings.simplefilter("ignore", DeprecationWarning)
        return itk.imread(str(path))


OPEN = {
    "volume": read_volume,
    "nibabel": nib.load,
    "SimpleITK": lambda path: sitk.ReadImage(str(path)),
    "ITK": read_itk,
    "MetaTensor": lambda path: MetaTensor(torch.from_numpy(VALUES), affine=turned()),
    "MetaTensor with a channel": lambda path: MetaTensor(
        torch.from_numpy(VALUES[None].copy()), affine=turned()
    ),
    "array and affine": lambda path: (VALUES, turned()),
}


@pytest.mark.parametrize("library", OPEN)
def test_every_library_gives_the_file_s_volume(file, library):
    expected = read_volume(file)
    volume = as_volume(OPEN[library](file))
    np.testing.assert_array_equal(volume.data, expected.data)
    np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-4)
    assert volume.data.dtype == np.float32


def test_the_caller_s_array_stays_as_it_is(file):
    data = VALUES.astype(np.float32)
    data[0, 0, 0] = np.nan
    with pytest.warns(ScanWarning, match="scan: 1 voxel is NaN or infinite"):
        volume = as_volume((data, turned()))
    assert np.isnan(data[0, 0, 0])
    assert volume.data[0, 0, 0] == -1024


def test_a_name_is_the_one_given_or_the_file_s(file):
    assert as_volume(nib.load(file)).path == file
    assert as_volume(nib.load(file), "patient 7").path.name == "patient 7"


FAULTY = {
    "two volumes": ((np.zeros((4, 4, 3, 2)), np.eye(4)), "shape (4, 4, 3, 2)"),
    "flat": ((np.zeros((4, 4)), np.eye(4)), "shape (4, 4)"),
    "empty": ((np.zeros((4, 0, 4)), np.eye(4)), "shape (4, 0, 4)"),
    "text": ((np.zeros((4, 4, 4), "U1"), np.eye(4)), "<U1"),
    "colours": (sitk.Image(4, 4, 3, sitk.sitkVectorFloat32), "shape"),
    "flat ITK": (sitk.Image(4, 4, sitk.sitkFloat32), "shape (4, 4)"),
    "affine of 3 x 3": ((np.zeros((4, 4, 4)), np.eye(3)), "(3, 3)"),
    "singular affine": ((np.zeros((4, 4, 4)), np.diag([1.0, 1, 0, 1])), "singular"),
    "metres": ((np.zeros((4, 4, 4)), np.diag([0.001, 0.001, 0.001, 1])), "0.001"),
    "mostly NaN": ((np.full((4, 4, 4), np.nan), np.eye(4)), "64 of 64"),
}


@pytest.mark.parametrize(("image", "received"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_image_is_refused_by_name(image, received):
    with pytest.raises(ValueError, match=r"^ct: ") as refused:
        as_volume(image, "ct")
    assert received in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def nifti(sform=None, qform=None, unit=None):
    """A NIfTI image with these forms."""
    image = nib.Nifti1Image(VALUES, turned())
    image.set_sform(sform, 0 if sform is None else 1)
    image.set_qform(qform, 0 if qform is None else 1)
    if unit:
        image.header.set_xyzt_units(unit)
    return image


def test_a_nifti_image_meets_the_checks_of_its_file():
    flipped = turned() @ np.diag([-1, 1, 1, 1])
    with pytest.raises(ValueError, match=r"ct: sform .* contradict each other"):
        as_volume(nifti(turned(), flipped), "ct")
    with pytest.raises(ValueError, match=r"ct: the unit of length is metres"):
        as_volume(nifti(turned(), unit="meter"), "ct")
    with pytest.warns(ScanWarning, match="ct: neither sform nor qform"):
        assert as_volume(nifti(), "ct").form_code == 0
    with pytest.raises(ValueError, match=r"ct: an image of Analyze 7.5"):
        as_volume(nib.AnalyzeImage(VALUES, np.eye(4)), "ct")


def test_the_forms_of_a_nifti_image_are_kept():
    moved = turned()
    moved[0, 3] += 5
    with pytest.warns(ScanWarning, match="ct: the qform is up to 5 mm away"):
        volume = as_volume(nifti(turned(), moved), "ct")
    np.testing.assert_allclose(volume.affine, turned(), atol=1e-4)
    np.testing.assert_allclose(volume.qform, moved, atol=1e-4)


def test_an_affine_to_lps_is_turned():
    itks = np.diag([-1.0, -1, 1, 1]) @ turned()
    image = MetaTensor(torch.from_numpy(VALUES), affine=itks, meta={"space": SpaceKeys.LPS})
    np.testing.assert_allclose(as_volume(image).affine, turned(), atol=1e-4)
    image.meta["space"] = "left-posterior-superior"  # as MONAI's NrrdReader names it
    np.testing.assert_allclose(as_volume(image).affine, turned(), atol=1e-4)
    image.meta["space"] = "voxels"
    with pytest.raises(ValueError, match="ct: an affine to voxels"):
        as_volume(image, "ct")


def test_an_affine_that_was_changed_in_memory_counts():
    image = nifti(turned(), turned())
    image.affine[0, 3] += 5
    np.testing.assert_allclose(as_volume(image).affine, image.affine, atol=1e-4)


def test_a_nifti_image_is_one_volume_with_a_sound_place():
    flat = nib.Nifti1Image(VALUES[..., 0], turned())
    flat.set_qform(turned(), 1)
    with pytest.raises(ValueError, match=r"ct: an array of shape"):
        as_volume(flat, "ct")
    image = nifti(turned(), turned())
    image.header["quatern_b"] = np.nan
    with pytest.warns(ScanWarning, match="ct: the qform is not a rotation"):
        as_volume(image, "ct")


def test_masked_voxels_are_holes():
    masked = np.ma.MaskedArray(VALUES, mask=np.zeros(VALUES.shape, bool))
    np.testing.assert_array_equal(as_volume((masked, turned())).data, VALUES)
    masked.mask[0, 0, 0] = True
    with pytest.warns(ScanWarning, match="1 voxel is NaN"):
        assert as_volume((masked, turned())).data[0, 0, 0] == -1024
    with pytest.warns(ScanWarning, match="1 voxel is NaN"):
        volume = as_volume(nib.Nifti1Image(masked, turned()))
    assert type(volume.data) is np.ndarray


def test_a_tensor_with_a_gradient_is_an_array():
    values = torch.from_numpy(VALUES.astype(np.float32)).requires_grad_()
    np.testing.assert_array_equal(as_volume((values, turned())).data, VALUES)


@pytest.mark.parametrize("image", [None, 3, np.zeros((4, 4, 4)), ["a", "b"]])
def test_what_is_no_image_is_a_type_error(image):
    with pytest.raises(TypeError, match=type(image).__name__):
        as_volume(image)
