"""Segment a CT with ONNX Runtime, without torch and MONAI: resampling, windows, stitching, cleaning.

python segment.py model.onnx configs/inference.json scan.nii.gz labels.nii.gz
"""

import itertools
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import onnxruntime
from scipy import ndimage, special

model, config, scan, output = sys.argv[1:]
config, scan = json.loads(Path(config).read_text()), nib.load(scan)
session = onnxruntime.InferenceSession(model)
every = slice(None)

# the network's grid: RAS order, the bundle's spacing, and its range of HU as 0 to 1
turned = nib.as_closest_canonical(scan)
step = np.array(config["spacing"]) / nib.affines.voxel_sizes(turned.affine)
size = np.round(np.round((np.array(turned.shape) - 1) / step, 2) + 1).astype(int)
values = turned.get_fdata(dtype=np.float32)
values = ndimage.affine_transform(values, step, output_shape=size, order=1, mode="nearest")
low, high = config["intensity_range"]
values = np.clip((values - low) / (high - low), 0, 1)

# the windows, the last of each axis at the end of the volume, and their mean, most weight in the middle
roi, overlap = config["roi_size"], config["displayable_configs"]["sw_overlap"]
missing = np.maximum(0, roi - size)
values = np.pad(values, np.stack([missing // 2, missing - missing // 2], axis=1))
curves = [np.exp(-32 * ((np.arange(r) - (r - 1) / 2) / r) ** 2) for r in roi]
weight = np.maximum(np.einsum("i,j,k", *curves), 1e-3).astype(np.float32)
logits = np.zeros((session.get_outputs()[0].shape[1], *values.shape), np.float32)
count = np.zeros(values.shape, np.float32)
starts = [
    sorted({min(first, n - r) for first in range(0, n, max(1, int(r * (1 - overlap))))})
    for n, r in zip(values.shape, roi, strict=True)
]
for corner in itertools.product(*starts):
    at = tuple(slice(first, first + r) for first, r in zip(corner, roi, strict=True))
    if values[at].any():  # else only air
        logits[(every, *at)] += session.run(None, {"image": values[at][None, None]})[0][0] * weight
        count[at] += weight
logits /= np.maximum(count, 1e-9)
logits[0, count == 0] = 40  # background where no window ran
inside = [slice(n // 2, n // 2 + s) for n, s in zip(missing, size, strict=True)]
chances = special.softmax(logits[(every, *inside)], axis=0)

# back to the scan's grid: probabilities are resampled, and then the labels decided
back = np.linalg.inv(turned.affine @ np.diag([*step, 1])) @ scan.affine
options = {"output_shape": scan.shape, "order": 1, "mode": "nearest"}
labels = np.argmax(
    [ndimage.affine_transform(chance, back, **options) for chance in chances], axis=0
)

# the largest piece and those that are nearly as large, without holes
for label in config["keep_largest"]:
    pieces, _ = ndimage.label(labels == label, np.ones((3, 3, 3)))
    voxels = np.bincount(pieces.ravel())[1:]
    kept = 1 + np.flatnonzero(voxels >= config["keep_pieces_from"] * voxels.max(initial=0))
    labels[labels == label] = 0
    labels[ndimage.binary_fill_holes(np.isin(pieces, kept))] = label
nib.save(nib.Nifti1Image(labels.astype(np.uint8), scan.affine), output)
