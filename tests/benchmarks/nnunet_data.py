"""The two data sets of `against_nnunet`, in the layout of nnU-Net, which both programs read.

`pancreas`: NIH Pancreas-CT, one volume of slices 3 mm apart for each patient, with an ignore label
(`real_ct` says how they come from single slices). `tumour`: phantoms with more noise than a scanner's and
a tumour in the pancreas, that is darker by 40 HU. Axial voxels are averaged 2 by 2 to spare the CPU.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_attn.phantom import abdominal_phantom
from tests.benchmarks.real_ct import (
    FOLDS,
    IGNORE,
    MARGIN,
    STEP,
    WHOLE,
    WINDOW,
    interpolate,
    read_slices,
)

FOLD = 0  # patients number 0, 5, 10, ... validate
TUMOUR_CASES, TUMOUR_SEED = 30, 5000
PHANTOM_SHAPE = (160, 128, 48)
NOISE, DARKER = 15.0, 40.0  # HU
LABELS = {
    "pancreas": {"background": 0, "pancreas": 1, "ignore": IGNORE},
    "tumour": {"background": 0, "pancreas": 1, "tumour": 2},
}
NUMBERS = {"pancreas": 501, "tumour": 502}
Case = tuple[str, NDArray[Any], NDArray[Any], NDArray[np.float64]]


def pancreas_cases(source: Path) -> Iterator[Case]:
    """Yield name, image, label and affine of each patient with slices."""
    with (source / "cases.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["soft_slices"])]
    for row in rows:
        patient, spacing = row["patient"], float(row["spacing_z_mm"])
        file = nib.load(source / "labels" / f"label{patient}.nii.gz")
        label = np.asarray(file.dataobj).astype(np.uint8)
        if patient in WHOLE:
            whole = np.asarray(nib.load(source / "volumes" / f"{patient}.nii.gz").dataobj)
            first, last = int(row["first_z"]) - MARGIN, int(row["last_z"]) + MARGIN
            slices = {z: np.clip(whole[..., z], *WINDOW) for z in range(first, last)}
        else:
            slices = read_slices(source, patient)
        image, marks, start = interpolate(slices, label, spacing)
        down = file.affine[:3, 2] / np.linalg.norm(file.affine[:3, 2])
        affine = np.array(file.affine, dtype=np.float64)
        affine[:3, 3] += down * start
        affine[:3, 2] = down * STEP
        yield f"nih_{patient}", image, marks, affine


def tumour_cases() -> Iterator[Case]:
    """Yield name, image, label and affine of phantoms; 1 is the pancreas, 2 a tumour in it."""
    for seed in range(TUMOUR_SEED, TUMOUR_SEED + TUMOUR_CASES):
        phantom = abdominal_phantom(seed, shape=PHANTOM_SHAPE, orientation="RAS")
        random = np.random.default_rng(seed)
        inside = np.argwhere(phantom.labels == 1)
        centre = inside[random.integers(len(inside))]
        spacing = np.linalg.norm(phantom.affine[:3, :3], axis=0)
        away = (np.indices(phantom.labels.shape).transpose(1, 2, 3, 0) - centre) * spacing
        tumour = np.linalg.norm(away, axis=-1) < random.uniform(8, 16)
        image = phantom.image + random.normal(0, NOISE, phantom.image.shape)
        hu = np.median(phantom.image[phantom.labels == 1])
        image[tumour] += hu - DARKER - phantom.image[tumour]
        labels = phantom.labels.copy()
        labels[tumour] = 2
        yield f"tumour_{seed}", np.rint(image).astype(np.int16), labels, phantom.affine


def halve(case: Case) -> Case:
    """Average axial voxels 2 by 2; a label counts where half of them, or more, have it."""
    name, image, label, affine = case
    x, y = (n // 2 * 2 for n in image.shape[:2])

    def blocks(voxels: NDArray[Any]) -> NDArray[np.float64]:
        return voxels[:x, :y].reshape(x // 2, 2, y // 2, 2, -1).mean(axis=(1, 3))

    small = np.zeros((x // 2, y // 2, image.shape[2]), np.uint8)
    for value in np.unique(label)[1:]:
        small[blocks(label == value) >= 0.5] = value
    coarse = affine.copy()
    coarse[:3, :2] *= 2
    coarse[:3, 3] = affine[:3, 3] + (affine[:3, 0] + affine[:3, 1]) / 2
    return name, np.rint(blocks(image)).astype(np.int16), small, coarse


def prepare(which: str, source: Path, work: Path) -> Path:
    """Write a data set with its folds; return its folder. What is there already is kept."""
    folder = work / "nnUNet_raw" / f"Dataset{NUMBERS[which]}_{which}"
    if (folder / "dataset.json").is_file():
        return folder
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = []
    for case in pancreas_cases(source) if which == "pancreas" else tumour_cases():
        name, image, label, affine = halve(case) if which == "pancreas" else case
        for path, voxels in (
            (folder / "imagesTr" / f"{name}_0000.nii.gz", image),
            (folder / "labelsTr" / f"{name}.nii.gz", label),
        ):
            nifti = nib.Nifti1Image(voxels, affine)
            nifti.header.set_xyzt_units("mm")
            nib.save(nifti, path)
        names.append(name)
    parts = {"train": [], "val": []}
    for number, name in enumerate(names):
        parts["val" if number % FOLDS == FOLD else "train"].append(name)
    _write(folder / "splits_final.json", [parts])
    training = [
        {
            "image": f"imagesTr/{name}_0000.nii.gz",
            "label": f"labelsTr/{name}.nii.gz",
            "fold": 0 if name in parts["val"] else 1,
        }
        for name in names
    ]
    labels = {str(value): name for name, value in LABELS[which].items()}
    _write(folder / "datalist.json", {"labels": labels, "training": training})
    described = {
        "channel_names": {"0": "CT"},
        "labels": LABELS[which],
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    _write(folder / "dataset.json", described)
    return folder


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
