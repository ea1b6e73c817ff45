"""DICOM files that segment writes, checked by dciodvfy and filled by plastimatch."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.clients.client import CheckFailed, Client, Place
from tests.clients.dicom_series import ANONYMISED, COMPLETE, write_series

BUNDLE = "pancreas_ct_attention_segmentation"
PROGRAMS = {"dciodvfy": "dicom3tools", "plastimatch": "plastimatch"}  # and their packages in Debian


def seg_and_rtstruct_have_no_errors(place: Place) -> str:
    """Segment a complete series, and check that dciodvfy finds no error in both files."""
    labels = _segment(place, write_series(place.work / "ct", **COMPLETE))
    files = [labels.with_name(name) for name in ("ct_seg.dcm", "ct_rtstruct.dcm")]
    found = {file.name: errors_of(file) for file in files}
    if any(found.values()):
        raise CheckFailed(f"dciodvfy: {found}")
    slices = sum(len(errors_of(file)) for file in (place.work / "ct").iterdir())
    return f"0 errors in {len(files)} files; {slices} in the slices themselves"


def an_anonymised_series_adds_no_errors(place: Place) -> str:
    """Segment a series without SOP class, patient and thickness; compare the errors with the slices'."""
    scan = write_series(place.work / "ct", **{**COMPLETE, **ANONYMISED})
    labels = _segment(place, scan)
    slices = set().union(*(errors_of(file) for file in scan.iterdir()))
    files = [labels.with_name(name) for name in ("ct_seg.dcm", "ct_rtstruct.dcm")]
    own = {file.name: errors_of(file) - slices for file in files}
    if any(own.values()):
        raise CheckFailed(f"dciodvfy: {own}")
    return f"0 errors that the slices do not have; {len(slices)} kinds in the slices"


def plastimatch_fills_the_contours_with_the_labels(place: Place) -> str:
    """Fill the contours of an RTSTRUCT by plastimatch, on the grid of the series."""
    scan = write_series(place.work / "ct", **COMPLETE)
    labels = _segment(place, scan)
    words = ["--input", labels.with_name("ct_rtstruct.dcm"), "--referenced-ct", scan]
    words += ["--output-prefix", place.work / "filled", "--prefix-format", "nii.gz"]
    place.run(_program("plastimatch"), "convert", *words)
    expected = np.asarray(nib.load(labels).dataobj) == 1
    image = nib.as_closest_canonical(nib.load(place.work / "filled" / "pancreas.nii.gz"))
    canonical = nib.as_closest_canonical(
        nib.Nifti1Image(expected.astype("u1"), nib.load(labels).affine)
    )
    if not np.allclose(image.affine, canonical.affine, atol=1e-3):
        raise CheckFailed("plastimatch has the contours on another grid")
    filled, wanted = (np.asarray(one.dataobj) != 0 for one in (image, canonical))
    dice = 2 * (filled & wanted).sum() / (filled.sum() + wanted.sum())
    if dice < 1 or not wanted.any():
        raise CheckFailed(f"Dice {dice:.4f} of {wanted.sum()} voxels (expected 1)")
    return f"Dice {dice:.4f} of {wanted.sum()} voxels"


def _segment(place: Place, scan: Path) -> Path:
    """Segment a series with both kinds of DICOM files; return its label map."""
    out = place.work / "out"
    words = ["--mode", "full", "--device", "cpu", "--dicom-seg", "--rtstruct"]
    place.run("monai-attn", "segment", scan, "-o", out, "--bundle", BUNDLE, *words)
    return out / f"{scan.name}_seg.nii.gz"


def errors_of(file: Path) -> set[str]:
    """Return the errors that dciodvfy finds in a file."""
    done = subprocess.run(
        [_program("dciodvfy"), str(file)], capture_output=True, text=True, errors="replace"
    )
    lines = (done.stdout + done.stderr).splitlines()
    if len(lines) < 1:
        raise CheckFailed(f"dciodvfy: says nothing about {file}")
    return {line for line in lines if line.startswith("Error")}


def _program(name: str) -> str:
    """Return the path of a program of this machine."""
    path = shutil.which(name)
    if not path:
        raise CheckFailed(f"{name}: not installed. Run apt-get install {PROGRAMS[name]}.")
    return path


CLIENT = Client(
    "dicom",
    "dicom3tools, plastimatch",
    (
        seg_and_rtstruct_have_no_errors,
        an_anonymised_series_adds_no_errors,
        plastimatch_fills_the_contours_with_the_labels,
    ),
)
