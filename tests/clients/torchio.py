"""TorchIO's patches train the network, and its subjects are segmented by a bundle."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.phantom import write_phantoms
from tests.clients.client import ROOT, CheckFailed, Client, Place

EXAMPLES = ROOT / "docs" / "examples" / "torchio"
EPOCHS = 15
LEAST = 0.3  # Dice after this short training; 0.00 without it


def patches_train_the_network(place: Place) -> str:
    """Train with TorchIO's queue, and segment a further phantom with its sampler and aggregator."""
    data, file = place.work / "data", place.work / "labels.nii.gz"
    write_phantoms(data, 4, shape=(48, 40, 24), spacing=(7.0, 7.0, 10.0))
    place.run("python", EXAMPLES / "train.py", data, EPOCHS, file)
    truth = sorted((data / "labelsTr").glob("*.nii.gz"))[-1]
    found, expected = _labels(file, truth), _labels(truth, truth)
    dice = 2 * (found & expected).sum() / (found.sum() + expected.sum())
    if not dice > LEAST:
        raise CheckFailed(f"Dice {dice:.2f}, above {LEAST} expected")
    return f"{EPOCHS} epochs, Dice {dice:.2f} on a further phantom"


def a_subject_is_segmented_as_its_file(place: Place) -> str:
    """Segment a subject with the shipped bundle, and compare with the command line on its file."""
    data, ours = place.work / "data", place.work / "ours"
    write_phantoms(data, 1, shape=(72, 64, 40), spacing=(5.0, 5.0, 6.0))
    scan = data / "imagesTr" / "phantom_0000.nii.gz"
    files = [place.work / "labels.nii.gz", place.work / "noisy.nii.gz"]
    place.run("python", EXAMPLES / "segment.py", scan, *files)
    place.run("monai-attn", "segment", scan, "-o", ours, "--mode", "full")
    (file,) = ours.glob("*_seg.nii.gz")
    found, noisy, expected = (_labels(path, scan) for path in (*files, file))
    unequal = int((found != expected).sum())
    if unequal or not expected.any():
        raise CheckFailed(f"{unequal} voxels differ, {expected.sum()} labelled")
    return f"all {expected.sum()} labelled voxels equal; {(noisy != found).sum()} change with noise"


def _labels(file: Path, scan: Path) -> np.ndarray:
    """Return the foreground of a label map that has to be on a scan's grid."""
    labels, on = nib.load(file), nib.load(scan)
    if labels.shape != on.shape or not np.allclose(labels.affine, on.affine, atol=1e-3):
        raise CheckFailed(f"{file}: is not on the scan's grid")
    return np.asarray(labels.dataobj) > 0


CLIENT = Client(
    "torchio", "TorchIO 1.2.1", (patches_train_the_network, a_subject_is_segmented_as_its_file)
)
