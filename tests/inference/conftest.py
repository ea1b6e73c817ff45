"""Scans of bright blocks."""

import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def bright_block(tmp_path):
    """An oblique, anisotropic scan in LPS order with a bright block of 4 x 5 x 4 voxels."""
    angle = 0.2
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.5, -2.5, 4.0])
    affine[:3, 3] = (20, -30, 400)
    data = np.zeros((20, 18, 11), np.int16)
    data[6:10, 5:10, 3:7] = 100
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.fixture
def untidy_blocks(tmp_path):
    """A block of 7 voxels along each side with a hole of 3, a smaller one, and one at the last slice."""
    data = np.random.default_rng(0).integers(0, 9, (24, 20, 18)).astype(np.int16)
    data[2:9, 2:9, 2:9] = 100
    data[4:7, 4:7, 4:7] = 5
    data[14:19, 12:17, 2:7] = 100
    data[16:20, 2:6, 15:18] = 100
    path = tmp_path / "untidy.nii.gz"
    nib.save(nib.Nifti1Image(data, np.diag([3.0, 3, 3, 1])), path)
    return path
