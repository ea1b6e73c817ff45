"""A reference lies on the grid of its scan, and each of its values stands for a label."""

import nibabel as nib
import numpy as np
import pytest

from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.references import check_reference, read_reference
from monai_attn.io.errors import ScanWarning
from monai_attn.io.scan import read_grid
from scans import AFFINE, SHAPE, fails, sheared

CLASSES = {0: 0, 1: 1, 2: 1}  # as the shipped bundles: a tumour counts as pancreas


def write(path, values, affine=AFFINE):
    nib.save(nib.Nifti1Image(np.resize(np.array(values, np.uint8), SHAPE), affine), path)
    return path


def test_values_become_the_labels_that_the_network_was_trained_with(tmp_path):
    path = write(tmp_path / "a.nii.gz", [0, 1, 2])
    labels = read_reference(path, read_grid(path), CLASSES)
    np.testing.assert_array_equal(labels, np.resize([0, 1, 1], SHAPE))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 1, 7], "unknown label values (got 7, expected 0, 1, 2)"),
        ([*range(20)], "unknown label values (got 3, 4, 5, 6, 7, 8, 9, 10, ..., expected 0"),
    ],
)
def test_a_value_that_stands_for_nothing_is_refused(tmp_path, values, said):
    """Among organs 2 is the liver: it would have been taken for pancreas without a word."""
    path = write(tmp_path / "a.nii.gz", values)
    fails(f"{path}: {said}", read_reference, path, read_grid(path), CLASSES)


def test_of_chosen_values_the_rest_is_background(tmp_path):
    path = write(tmp_path / "a.nii.gz", [0, 1, 2, 7])
    labels = read_reference(path, read_grid(path), CLASSES, {7: 1})
    np.testing.assert_array_equal(labels, np.resize([0, 0, 0, 1], SHAPE))


def test_a_mapping_to_no_label_is_refused_and_one_from_no_value_is_doubtful(tmp_path):
    path = write(tmp_path / "a.nii.gz", [0, 1, 2])
    fails(
        f"{path}: value 1 is mapped to a label that the network does not have (got 5, expected",
        read_reference,
        path,
        read_grid(path),
        CLASSES,
        {1: 5},
    )
    with pytest.warns(ScanWarning, match=r"a\.nii\.gz: has none of the mapped values 7\."):
        read_reference(path, read_grid(path), CLASSES, {7: 1})
    empty = write(tmp_path / "empty.nii.gz", [0])
    assert not read_reference(empty, read_grid(empty), CLASSES, {7: 1}).any()


@pytest.mark.parametrize("chosen", [None, {1: 1}])
def test_voxels_of_the_ignore_value_are_marked(tmp_path, chosen):
    path = write(tmp_path / "a.nii.gz", [0, 1, 9])
    labels = read_reference(path, read_grid(path), CLASSES, chosen, ignore=9)
    np.testing.assert_array_equal(labels, np.resize([0, 1, IGNORED], SHAPE))


def test_an_ignore_value_that_is_a_label_or_all_there_is_is_refused(tmp_path):
    path = write(tmp_path / "a.nii.gz", [9])
    fails("ignore (=2) is also class 1", read_reference, path, read_grid(path), CLASSES, None, 2)
    fails(
        f"{path}: every voxel has the ignore value 9",
        read_reference,
        path,
        read_grid(path),
        CLASSES,
        None,
        9,
    )


def test_another_grid_is_one_line_that_names_both(tmp_path):
    scan, other = write(tmp_path / "scan.nii.gz", [0]), tmp_path / "other.nii.gz"
    check_reference(write(other, [1]), scan)
    fails(
        f"{other}: is not on the grid of {scan}",
        check_reference,
        write(other, [1], sheared()),
        scan,
    )


def test_the_same_voxels_in_another_order_of_axes_are_a_reference(tmp_path):
    values = np.arange(24).reshape(SHAPE) % 3
    scan = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.uint8), AFFINE), scan)
    flipped = nib.load(scan).as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))
    other = tmp_path / "other.nii.gz"
    nib.save(flipped, other)
    with pytest.warns(ScanWarning, match=r"other\.nii\.gz: stored with other axes than"):
        check_reference(other, scan)
    labels = read_reference(other, read_grid(scan), {0: 0, 1: 1, 2: 2})
    np.testing.assert_array_equal(labels, values)
