"""The body in a scan, of whose voxels the labels are compared."""

import nibabel as nib
import numpy as np

AIR = -150  # HU; what is brighter counts as body


def body_voxels(scan):
    """Return which voxels (X, Y, Z) of a scan's file are brighter than air and fat."""
    return nib.load(scan).get_fdata(dtype=np.float32) > AIR
