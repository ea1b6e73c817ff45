"""A scan with a bright blob, for tests of pipelines."""

import nibabel as nib
import numpy as np
import torch

from grids import RAS, SHAPE

RANGE = (-100.0, 300.0)  # HU that become 0 and 1
BLOB = (slice(4, 14), slice(3, 12), slice(2, 10))  # off the middle, so that a flip shows
LOW, HIGH = -100.0, 300.0  # HU around the blob and in it

ROI = (8, 8, 8)


def scan_values():
    """HU of the scan, low around the blob."""
    values = np.full(SHAPE, LOW, np.int16)
    values[BLOB] = HIGH
    return values


def save_volume(path, values, affine=RAS, *, qform=True):
    """A NIfTI file of voxels; its path as a text."""
    image = nib.Nifti1Image(values, None)
    image.set_sform(affine, code=1)
    if qform:
        image.set_qform(affine, code=1)
    image.to_filename(path)
    return str(path)


def save_pair(folder, affine=RAS):
    """The scan and the label of its blob, as files."""
    image = save_volume(folder / "scan.nii.gz", scan_values(), affine)
    label = save_volume(folder / "label.nii.gz", (scan_values() == HIGH).astype(np.uint8), affine)
    return {"image": image, "label": label}


def fake_logits(image):
    """Background and foreground logits whose softmax is the image: the foreground is what is bright."""
    return torch.cat([1 - image, image]).clamp(1e-6, 1).log()


def dice(a, b):
    """Dice of two masks."""
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def centre(mask, affine):
    """The centre of a mask, mm."""
    return nib.affines.apply_affine(affine, np.argwhere(mask).mean(axis=0))
