"""Small label maps, and files of them."""

import nibabel as nib
import numpy as np

SHAPE = (6, 5, 4)
AFFINE = np.diag([2.0, 1.0, 5.0, 1.0])  # a voxel is 0.01 ml


def block(start, stop, label=1):
    """Labels in slices start..stop of the first axis, 20 voxels each."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[start:stop] = label
    return labels


def save_labels(path, labels, affine=AFFINE):
    """A NIfTI file of labels, in a folder that is made."""
    path.parent.mkdir(exist_ok=True)
    nib.Nifti1Image(labels, affine).to_filename(path)
    return path


def random_labels(seed, largest=3):
    """Labels 0 to `largest`, drawn by a seed."""
    return np.random.default_rng(seed).integers(0, largest + 1, SHAPE).astype(np.int16)
