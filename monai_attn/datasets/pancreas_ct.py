"""NIH's Pancreas-CT as The Cancer Imaging Archive gives it: scans in DICOM, label maps in NIfTI.

The scan is the one series below `PANCREAS_0001`, in the folder given or in `Pancreas-CT` below it. The label
map is `label0001.nii.gz` in a folder beside the patients, or beside `Pancreas-CT`, such as
`TCIA_pancreas_labels-02-05-2017`. `monai_attn.io.formats.pancreas_ct` says how it is placed.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from monai_attn.datasets.datalist import Case
from monai_attn.datasets.folders import by_name, visible
from monai_attn.io.errors import Faults, ScanWarning
from monai_attn.io.formats.pancreas_ct import COLLECTION, LABEL, series_below

PATIENT = re.compile(r"PANCREAS_(\d{4})")
WITHDRAWN = ("0025", "0070")  # version 2 of the data set has 80 scans and 82 label maps


def has_pancreas_ct(source: Path) -> bool:
    """Check whether a folder holds scans and label maps of Pancreas-CT."""
    return source.is_dir() and bool(_patients(source)) and bool(_label_files(source))


def pancreas_ct_scans(source: Path) -> list[Path]:
    """List the DICOM series of all patients, sorted by patient."""
    return [scan for patient in _patients(source).values() for scan in series_below(patient)]


def pancreas_ct_cases(source: Path) -> list[Case]:
    """Pair the series and label maps of a folder that `has_pancreas_ct` by number, sorted.

    Label maps of the two patients whose scans were withdrawn are left out with a `ScanWarning`.

    Raises:
        Faults: a line for each patient without one series or a label map, label map without a patient, and
            second label map of a patient.
    """
    patients = _patients(source)
    labels, faults = by_name({path: _number(path) for path in _label_files(source)})
    cases = []
    for number, patient in patients.items():
        series = series_below(patient)
        if len(series) != 1:
            faults.append(
                f"{patient}: holds {len(series)} DICOM series (expected one). Keep the labelled one, or "
                "load the patient again."
            )
        elif number not in labels:
            faults.append(
                f"{patient}: has no label map (expected label{number}.nii.gz). Add it, or remove the patient."
            )
        else:
            cases.append({"image": str(series[0]), "label": str(labels[number])})
    alone = sorted(labels.keys() - patients.keys())
    faults += [
        f"{labels[number]}: has no scan (expected PANCREAS_{number}). Add it, or remove the label map."
        for number in alone
        if number not in WITHDRAWN
    ]
    if faults:
        raise Faults(*faults)
    for number in alone:
        warnings.warn(
            f"{labels[number]}: left out, since version 2 of the data set has no scan of it",
            ScanWarning,
            stacklevel=3,
        )
    return cases


def _patients(source: Path) -> dict[str, Path]:
    """Return the folders of the patients by number."""
    inside = source / COLLECTION
    folders = visible(inside if inside.is_dir() else source)
    matches = [(PATIENT.fullmatch(path.name), path) for path in folders if path.is_dir()]
    return {match[1]: path for match, path in matches if match}


def _label_files(source: Path) -> list[Path]:
    """List the label maps in folders beside the patients, or beside the folder of all patients."""
    roots = [source, source / COLLECTION]
    if source.absolute().name == COLLECTION:
        roots.append(source.absolute().parent)
    folders = [path for root in roots if root.is_dir() for path in visible(root) if path.is_dir()]
    return [
        path
        for folder in folders
        if not PATIENT.fullmatch(folder.name) and folder.name != COLLECTION
        for path in visible(folder)
        if LABEL.fullmatch(path.name)
    ]


def _number(label: Path) -> str:
    match = LABEL.fullmatch(label.name)
    return match[1] if match else ""
