"""Phantoms as a data set on disk, in the layout of the Medical Segmentation Decathlon."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from .anatomy import ORGANS
from .scanner import abdominal_phantom, check_arguments
from .sequences import SEQUENCES, mr_sequences

REFERENCE = "monai-attn"  # in `dataset.json`: who made the data set


def write_phantoms(
    folder: str | Path,
    count: int,
    *,
    seed: int = 0,
    all_organs: bool = False,
    modality: str = "CT",
    shape: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    on_case: Callable[[int, int], None] | None = None,
) -> Path:
    """Write phantoms as a data set in the layout of the Medical Segmentation Decathlon.

    Args:
        folder: gets imagesTr, labelsTr and dataset.json.
        count: number of cases; case i has the seed `seed + i` and is named by it.
        seed: seed of the first case.
        all_organs: label every organ of `ORGANS`; otherwise only the pancreas, as 1.
        modality: "CT", or "MR" for the two sequences of `mr_sequences`, as volumes of one file.
        shape: three voxel counts; drawn for each case where None.
        spacing: voxel size in mm; as for `abdominal_phantom` where None.
        on_case: called with (cases done, count) after each case.

    Returns:
        The path of dataset.json.

    Raises:
        ValueError: for a count below 1, another modality, if the folder holds another data set, and where
            `abdominal_phantom` does.
    """
    if modality not in ("CT", "MR"):
        raise ValueError(f"modality (={modality!r}) must be CT or MR: choose one of them")
    if count < 1:
        raise ValueError(f"count (={count}) must be 1 or more: ask for at least one phantom")
    check_arguments(seed, shape, spacing, None)
    folder = Path(folder)
    training = [
        {
            "image": f"./imagesTr/phantom_{seed + i:04d}.nii.gz",
            "label": f"./labelsTr/phantom_{seed + i:04d}.nii.gz",
        }
        for i in range(count)
    ]
    channels = ("CT",) if modality == "CT" else SEQUENCES
    declared = {str(number): name for number, name in enumerate(channels)}
    _check_folder(folder, training, declared)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, entry in enumerate(training):
        phantom = abdominal_phantom(seed + i, shape=shape, spacing=spacing, all_organs=all_organs)
        image = phantom.image if modality == "CT" else mr_sequences(phantom.image, phantom.seed)
        _write(folder / entry["image"], image, phantom.affine)
        _write(folder / entry["label"], phantom.labels, phantom.affine)
        if on_case:
            on_case(i + 1, count)
    names = ORGANS if all_organs else {"background": 0, "pancreas": 1}
    dataset = {
        "name": f"Synthetic abdominal {modality} phantoms",
        "description": f"Synthetic {modality} drawn from seeds by monai_attn.phantom; no patient data",
        "reference": REFERENCE,
        "licence": "CC0-1.0",
        "tensorImageSize": "3D" if modality == "CT" else "4D",
        "modality": declared,
        "labels": {str(label): name for name, label in names.items()},
        "numTraining": count,
        "numTest": 0,
        "training": training,
        "test": [],
    }
    path = folder / "dataset.json"
    path.write_text(json.dumps(dataset, indent=2) + "\n", encoding="utf-8")
    return path


def _check_folder(
    folder: Path, training: Sequence[dict[str, str]], modality: dict[str, str]
) -> None:
    """Refuse a folder whose `dataset.json` is of other scans, or lists phantoms that would drop out."""
    path = folder / "dataset.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = (content["reference"], content["modality"]) == (REFERENCE, modality)
        dropped = [entry["image"] for entry in content["training"] if entry not in training]
    except FileNotFoundError:
        return
    except (ValueError, LookupError, TypeError):
        same, dropped = False, []
    if not same:
        raise ValueError(
            f"{path}: lists other scans, so it is not replaced. Choose another folder."
        )
    if dropped:
        raise ValueError(
            f"{path}: also lists {dropped[0]}, which would drop out. Choose another folder, or delete this "
            "one."
        )


def _write(path: Path, data: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write NIfTI with sform and qform, in mm, without a time stamp."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    with io.BytesIO() as raw, gzip.GzipFile(path, "wb", compresslevel=3, mtime=0) as out:
        image.to_stream(raw)
        out.write(raw.getvalue())
