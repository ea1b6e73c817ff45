"""Compare a label map with the mean of bundles' probabilities; print the number of voxels that differ.

python mean_of_bundles.py scan.nii.gz labels.nii.gz BUNDLE BUNDLE ...
"""

import sys

import nibabel as nib
import numpy as np

import monai_attn

scan, labels, *bundles = sys.argv[1:]
models = [monai_attn.load(bundle, mode="full") for bundle in bundles]
chances = [model.segment(scan, probabilities=True).probabilities for model in models]
expected = np.mean(chances, axis=0).argmax(axis=-1)
found = np.asarray(nib.load(labels).dataobj)
print(int((found != expected).sum()), int((found > 0).sum()))
