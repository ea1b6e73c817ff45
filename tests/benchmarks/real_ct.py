"""The recipe of the shipped weights: from the files of NIH Pancreas-CT to trained bundles.

    python -m tests.benchmarks.real_ct SOURCE WORK --fold 0
    python -m tests.benchmarks.real_ct SOURCE WORK --fold 0 --bundle pancreas_ct_attention_segmentation_2d
    python -m tests.benchmarks.real_ct SOURCE WORK --from WORK/pancreas_ct_attention_segmentation/fold_0

The first two train on four fifths of the patients and score the others; the last continues from such a
training with all patients, which gives the weights that are shipped. Everything runs through
`monai-attn train`; what exists in WORK is not made again.

SOURCE holds `cases.csv`, and next to it `labels`, `slices`, `volumes` and `negatives`. Of most patients
there are single axial slices, a few millimetres apart, and the label of every millimetre. Each patient
becomes a volume with slices 3 mm apart, by linear interpolation between the two nearest slices; further
than `REACH` from every slice the label is `IGNORE`. Three volumes of each patient start a millimetre
apart, so that each slice appears unblended in one of them. Whole scans are cut into the part with the
pancreas and the parts above and below it: those without pancreas are then drawn as often as the others.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_attn import DEFAULT_BUNDLE
from monai_attn.phantom import write_phantoms

STEP = 3.0  # mm between slices, as the networks see them
PHASES = 3  # volumes of a patient, which start STEP / PHASES apart
REACH = 4.0  # mm; further from every slice the interpolated image does not show what the label says
IGNORE = 2
FOLDS = 5
WHOLE = ("0001", "0002")  # patients with a whole scan
MARGIN = 12  # slices that the parts of a whole scan share with their neighbours
WINDOW = (0, 255)  # HU that all slices preserve
PHANTOMS, SEED = 24, 1000
CHEST = "lidc_0314"
EPOCHS = {"scratch": 40, "continued": 8}
Slices = dict[int, NDArray[np.int16]]
Case = dict[str, Any]


def read_slices(source: Path, patient: str) -> Slices:
    """Read the slices (X, Y) of a patient, in HU clipped to `WINDOW`, by their place in the label volume.

    Raises:
        ValueError: if there are none.
    """
    found: Slices = {}
    for kind in (
        "soft",
        "wide",
    ):  # a wide slice shows the whole field of view: it replaces a soft one
        file = source / "slices" / f"{patient}_{kind}.npz"
        if file.is_file():
            with np.load(file) as stored:
                uncropped_last = np.argsort(stored["field"] == "full", kind="stable")
                for i in uncropped_last.tolist():
                    found[int(stored["z"][i])] = stored["image"][i].astype(np.int16)
    for file in (source / "volumes").glob(f"{patient}_z*.nii.gz"):
        first = int(file.name.split("_z")[1][:3])
        volume = np.asarray(nib.load(file).dataobj)
        found |= {first + i: volume[..., i] for i in range(volume.shape[2])}
    if not found:
        raise ValueError(f"{source / 'slices'}: no slices of patient {patient}. Copy them there.")
    return {z: np.clip(found[z], *WINDOW).astype(np.int16) for z in sorted(found)}


def interpolate(
    slices: Slices, label: NDArray[np.uint8], spacing: float, start: float = 0.0
) -> tuple[NDArray[np.int16], NDArray[np.uint8], float]:
    """Make volumes with slices `STEP` mm apart from single slices.

    Args:
        slices: (X, Y) by place, two or more.
        label: (X, Y, Z), indexed by the same places.
        spacing: mm from one place to the next.
        start: mm from the first slice to the first of the volume.

    Returns:
        Image and label (X, Y, N), and the distance in mm from place 0 to their first slice.
    """
    places = sorted(slices)
    known = np.array(places) * spacing
    targets = np.arange(known[0] + start, known[-1] + 1e-6, STEP)
    images, labels = [], []
    for target in targets:
        after = min(max(int(np.searchsorted(known, target)), 1), len(known) - 1)
        part = (target - known[after - 1]) / (known[after] - known[after - 1])
        pair = (slices[places[after - 1]], slices[places[after]])
        images.append(np.round((1 - part) * pair[0] + part * pair[1]).astype(np.int16))
        there = label[..., min(round(target / spacing), label.shape[2] - 1)]
        reached = np.abs(known - target).min() <= REACH
        labels.append(there if reached else np.full_like(there, IGNORE))
    return np.stack(images, axis=-1), np.stack(labels, axis=-1), float(targets[0])


def write_case(
    folder: Path, name: str, image: NDArray[Any], label: NDArray[Any], affine: NDArray[Any]
) -> Case:
    """Write a volume and its label; return their paths as a datalist names them."""
    case = {}
    for key, voxels in (("image", image), ("label", label)):
        path = folder / f"{key}s" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nifti = nib.Nifti1Image(voxels, affine)
        nifti.header.set_xyzt_units("mm")
        nib.save(nifti, path)
        case[key] = str(path.absolute())
    return case


def patient_cases(source: Path, folder: Path, row: dict[str, str]) -> list[Case]:
    """Write the volumes of one patient: three of the slices; of a whole scan each part, and the whole."""
    patient, spacing = row["patient"], float(row["spacing_z_mm"])
    file = nib.load(source / "labels" / f"label{patient}.nii.gz")
    label = np.asarray(file.dataobj).astype(np.uint8)
    down = file.affine[:3, 2] / np.linalg.norm(file.affine[:3, 2])

    def affine(step: float, start: float) -> NDArray[np.float64]:
        moved = np.array(file.affine, dtype=np.float64)
        moved[:3, 3] += down * start
        moved[:3, 2] = down * step  # the spacing of cases.csv counts: three headers contradict it
        return moved

    parts = {"": read_slices(source, patient)}
    cases = []
    if patient in WHOLE:
        whole = np.asarray(nib.load(source / "volumes" / f"{patient}.nii.gz").dataobj)
        name = f"{patient}_whole"
        cases.append(write_case(folder, name, whole, label, affine(spacing, 0.0)))
        first, last, end = int(row["first_z"]), int(row["last_z"]), whole.shape[2]
        ranges = {
            "_above": range(0, first + MARGIN),
            "_pancreas": range(first - MARGIN, last + MARGIN),
            "_below": range(last - MARGIN, end),
        }
        parts = {
            part: {z: np.clip(whole[..., z], *WINDOW) for z in places}
            for part, places in ranges.items()
        }
    for part, slices in parts.items():
        for phase in range(PHASES):
            image, values, start = interpolate(slices, label, spacing, phase * STEP / PHASES)
            name = f"{patient}{part}_{phase}"
            cases.append(write_case(folder, name, image, values, affine(STEP, start)))
    return cases


def prepare(source: Path, work: Path) -> None:
    """Write all volumes and `WORK/dataset.json`, with the patient and the fold of each."""
    if (work / "dataset.json").is_file():
        return
    with (source / "cases.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["soft_slices"])]
    needed = [source / "negatives" / "chest_lidc_0314.nii.gz"]
    for patient in (row["patient"] for row in rows):
        needed += [
            source / "labels" / f"label{patient}.nii.gz",
            source / "slices" / f"{patient}_soft.npz",
            *([source / "volumes" / f"{patient}.nii.gz"] if patient in WHOLE else []),
        ]
    missing = [path for path in needed if not path.is_file()]
    if missing:
        raise ValueError(f"{missing[0]}: missing, but the recipe needs it. Copy it there.")
    cases = [
        {**case, "group": row["patient"], "fold": number % FOLDS}
        for number, row in enumerate(rows)
        for case in patient_cases(source, work / "nih", row)
    ]
    chest = nib.load(source / "negatives" / "chest_lidc_0314.nii.gz")
    voxels = np.asarray(chest.dataobj)
    air = np.zeros(voxels.shape, np.uint8)
    cases.append({**write_case(work / "nih", "chest", voxels, air, chest.affine), "group": CHEST})
    write_phantoms(work / "phantoms", PHANTOMS, seed=SEED)
    listed = json.loads((work / "phantoms" / "dataset.json").read_text(encoding="utf-8"))
    cases += [
        {key: str((work / "phantoms" / case[key]).absolute()) for key in ("image", "label")}
        for case in listed["training"]
    ]
    write_list(work / "dataset.json", {"training": cases})


def write_list(path: Path, sections: dict[str, list[Case]]) -> None:
    """Write a datalist that declares the classes and the ignore label."""
    labels = {"0": "background", "1": "pancreas", str(IGNORE): "ignore"}
    path.write_text(json.dumps({"labels": labels, **sections}, indent=1) + "\n", encoding="utf-8")


def split(cases: list[Case], fold: int | None) -> dict[str, list[Case]]:
    """Split the cases by patient: those of a fold validate, whole or by the first of their volumes.

    Without a fold all patients train, and the last two phantoms stand in for validation.
    """

    def validates(case: Case) -> bool:
        patient, name = case.get("group"), Path(case["image"]).name
        return name.endswith("_whole.nii.gz" if patient in WHOLE else "_0.nii.gz")

    chosen = [{k: case[k] for k in ("image", "label")} for case in cases]
    if fold is None:
        trains = [
            case
            for case, about in zip(chosen, cases, strict=True)
            if not Path(about["image"]).name.endswith("_whole.nii.gz")
        ]
        return {"training": trains[:-2], "validation": trains[-2:]}
    pairs = [*zip(chosen, cases, strict=True)]
    return {
        "training": [
            case
            for case, about in pairs
            if about.get("fold") != fold and not about["image"].endswith("_whole.nii.gz")
        ],
        "validation": [
            case for case, about in pairs if about.get("fold") == fold and validates(about)
        ],
    }


def main() -> None:
    """Prepare the data and run one training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with cases.csv")
    parser.add_argument("work", type=Path, help="folder for the data sets and the trainings")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="fold that validates")
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE)
    parser.add_argument("--from", dest="start", help="run or bundle whose weights to start from")
    parser.add_argument("--epochs", type=int)
    given = parser.parse_args()
    try:
        prepare(given.source, given.work)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    cases = json.loads((given.work / "dataset.json").read_text(encoding="utf-8"))["training"]
    name = "all" if given.fold is None else f"fold_{given.fold}"
    write_list(given.work / f"{name}.json", split(cases, given.fold))
    run = given.work / given.bundle / name
    words = [sys.executable, "-m", "monai_attn", "train", str(given.work / f"{name}.json")]
    words += ["-o", str(run), "--bundle", given.bundle, "--cache", str(given.work / "cache")]
    words += ["--set", "average_steps=300", "--set", "patience=1000", "--label", "1=pancreas"]
    # without patients to validate the last weights count: phantoms would choose others
    words += ["--set", f"val_interval={4 if given.fold is not None else 1000}"]
    words += ["--epochs", str(given.epochs or EPOCHS["continued" if given.start else "scratch"])]
    words += ["--set", "learning_rate=0.001", "--from", given.start] if given.start else []
    words += ["--resume"] if run.exists() else []
    sys.exit(subprocess.run(words).returncode)


if __name__ == "__main__":
    main()
