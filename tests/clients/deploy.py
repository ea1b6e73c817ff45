"""MONAI Deploy: the application in docs/examples/deploy, compared with segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from tests.clients.bundle import BUNDLES
from tests.clients.client import ROOT, CheckFailed, Client, Place
from tests.clients.dicom import errors_of
from tests.clients.dicom_series import COMPLETE, write_series

GROUPS = ("SegmentIdentificationSequence", "PlanePositionSequence")
APP = ROOT / "docs" / "examples" / "deploy" / "app.py"


def dicom_seg_of_the_3d_bundle_holds_our_voxels(place: Place) -> str:
    """Run the application and segment in full mode with the 3D bundle; compare both DICOM SEGs."""
    return _compare(place, BUNDLES[0])


def dicom_seg_of_the_2d_bundle_holds_our_voxels(place: Place) -> str:
    """Run the application and segment in full mode with the 2D bundle; compare both DICOM SEGs."""
    return _compare(place, BUNDLES[1])


def _compare(place: Place, bundle: str) -> str:
    scan = write_series(place.work / "ct", **COMPLETE)
    theirs = _deploy(place, scan, _export(place, bundle))
    words = ["--mode", "full", "--device", "cpu", "--backend", "eager", "--precision", "float32"]
    place.run(
        "monai-attn", "segment", scan, "-o", place.work, "--bundle", bundle, *words, "--dicom-seg"
    )
    ours = pydicom.dcmread(place.work / "ct_seg.dcm")
    found, expected = _voxels(theirs), _voxels(ours)
    different = sum(
        int((found.get(key, 0) != expected.get(key, 0)).sum()) for key in {*found, *expected}
    )
    count = sum(int(plane.sum()) for plane in expected.values())
    if different or not count:
        raise CheckFailed(f"{different} voxels differ; {count} are labelled")
    if errors := errors_of(Path(theirs.filename)):
        raise CheckFailed(f"dciodvfy: {errors}")
    labels = [segment.SegmentLabel for segment in theirs.SegmentSequence]
    if labels != [segment.SegmentLabel for segment in ours.SegmentSequence]:
        raise CheckFailed(f"labels {labels}")
    return f"{count} labelled voxels, 0 differ; 0 errors of dciodvfy"


def _export(place: Place, bundle: str) -> Path:
    """Export a bundle as the how-to page says; the name of the file has a meaning for Deploy."""
    model = place.work / "model.ts"
    words = ["--net_id", "network_def", "--filepath", model, "--ckpt_file", "models/model.pt"]
    words += ["--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json"]
    place.run("python", "-m", "monai.bundle", "ckpt_export", *words, cwd=ROOT / "bundles" / bundle)
    return model


def _deploy(place: Place, scan: Path, model: Path) -> pydicom.Dataset:
    """Run the application; return its DICOM SEG."""
    out = place.work / "deploy"
    out.mkdir()
    place.run("python", APP, "--input", scan, "--model", model, "--output", out)
    files = [*out.glob("*.dcm")]
    if len(files) != 1:
        raise CheckFailed(f"{len(files)} DICOM SEGs (expected 1)")
    return pydicom.dcmread(files[0])


def _voxels(seg: pydicom.Dataset) -> dict[tuple[int, float], np.ndarray]:
    """Return the plane of each segment at each position along z; planes without a voxel are left out."""
    planes = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found = {}
    for plane, frame in zip(planes, seg.PerFrameFunctionalGroupsSequence, strict=True):
        (segment,), (place,) = (_group(seg, frame, name) for name in GROUPS)
        number = int(segment.ReferencedSegmentNumber)
        z = round(float(place.ImagePositionPatient[2]), 3)
        if plane.any():
            found[number, z] = plane
    return found


def _group(seg: pydicom.Dataset, frame: pydicom.Dataset, name: str) -> pydicom.Sequence:
    """Return a functional group of a frame, or the one that all frames share."""
    return frame[name].value if name in frame else seg.SharedFunctionalGroupsSequence[0][name].value


CLIENT = Client(
    "deploy",
    "MONAI Deploy App SDK 4.0.0",
    (dicom_seg_of_the_3d_bundle_holds_our_voxels, dicom_seg_of_the_2d_bundle_holds_our_voxels),
)
