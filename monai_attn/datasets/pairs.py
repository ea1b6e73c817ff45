"""Pairs of a reference with its predicted label map, or with its scan."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from monai_attn.datasets.folder_layouts import FIRST
from monai_attn.datasets.folders import by_name, label_maps_in
from monai_attn.datasets.scan_names import scan_names
from monai_attn.io.channels import Image, files_of
from monai_attn.io.errors import Faults, OptionError, ScanWarning
from monai_attn.io.names import MAP, case_name, check_name

NAMED = 8  # the largest number of files that a warning names


def pair_cases(
    prediction: str | Path, reference: str | Path, *, partial: bool = False
) -> list[tuple[str, Path, Path]]:
    """Pair predicted label maps with reference label maps.

    Folders are paired by case name: a prediction's name without `_seg` and, if no reference has that name,
    without the number of nnU-Net's first channel. Two files are a pair whatever their names.

    Args:
        prediction: a NIfTI file, or a folder of them.
        reference: a file if `prediction` is one, else a folder.
        partial: whether references without a prediction are left out, with a `ScanWarning` that counts them.

    Returns:
        Case name, prediction and reference, sorted by name.

    Raises:
        ValueError: if a path is missing, is no NIfTI file by name, or a file has no counterpart.
    """
    prediction, reference = Path(prediction), Path(reference)
    for path in (prediction, reference):
        if not path.exists():
            raise ValueError(
                f"{path}: no such file or folder (expected a NIfTI label map or a folder of them). Check "
                "the path."
            )
    if prediction.is_dir() != reference.is_dir():
        kinds = ["a folder" if path.is_dir() else "a file" for path in (prediction, reference)]
        raise ValueError(
            f"{prediction}: {kinds[0]}, but {reference} is {kinds[1]} (expected two files or two "
            "folders). Give two of one kind."
        )
    if prediction.is_dir():
        return _pair_folders(prediction, reference, partial)
    check_name(prediction)
    check_name(reference)
    return [(case_name(reference), prediction, reference)]


def references_of(
    scans: Sequence[Image], reference: str | Path, names: Mapping[Image, str] | None = None
) -> dict[Image, Path]:
    """Find the reference label map of each scan.

    Args:
        scans: at least one; a tuple of paths is one scan, with a file for each channel.
        reference: a folder of label maps, in which that of case `NAME` is `NAME` or `NAME_seg`; further
            ones are allowed. Or, for one scan, a label map of any name.
        names: the name of each case; by default as `scan_names` chooses it.

    Raises:
        ValueError: if the path does not exist, two label maps are of one case, or a scan has none.
    """
    names = names or scan_names(scans)
    references = references_among([names[scan] for scan in scans], reference)
    unpaired = [str(files_of(scan)[0]) for scan in scans if names[scan] not in references]
    if unpaired:
        raise ValueError(
            f"{reference}: no reference for {', '.join(unpaired)} (expected a label map with each scan's "
            "name). Add or rename label maps."
        )
    return {scan: references[names[scan]] for scan in scans}


def references_among(cases: Sequence[str], reference: str | Path) -> dict[str, Path]:
    """Find the reference label maps of those cases that have one, by case name.

    Args:
        cases: names of cases, at least one.
        reference: as for `references_of`.

    Raises:
        ValueError: if the path does not exist, or two label maps are of one case.
    """
    reference = Path(reference)
    if not reference.is_dir():
        check_name(reference)
        if len(cases) != 1 or not reference.is_file():
            fault = "no such file" if len(cases) == 1 else f"one file for {len(cases)} scans"
            raise ValueError(
                f"{reference}: {fault} (expected a label map for one scan, or a folder of them). Check "
                "the path."
            )
        return {cases[0]: reference}
    files = {path: case_name(path) for path in label_maps_in(reference)}
    maps = {path: name.removesuffix("_seg") for path, name in files.items() if not MAP.search(name)}
    references, faults = by_name(maps)
    if faults:
        raise Faults(*faults)
    named = {case: _case_of(case, references) for case in cases}
    return {case: references[name] for case, name in named.items() if name in references}


def _pair_folders(prediction: Path, reference: Path, partial: bool) -> list[tuple[str, Path, Path]]:
    references, reference_faults = by_name(
        {path: case_name(path) for path in label_maps_in(reference)}
    )
    # a reference may itself be named a_seg, and then so is its case
    predictions, prediction_faults = by_name(
        {
            path: name if name in references else _case_of(name.removesuffix("_seg"), references)
            for path, name in ((path, case_name(path)) for path in label_maps_in(prediction))
            if name in references or not MAP.search(name)
        }
    )
    if reference_faults or prediction_faults:
        raise Faults(*reference_faults, *prediction_faults)
    unknown = [str(predictions[name]) for name in sorted(predictions.keys() - references.keys())]
    missing = [str(references[name]) for name in sorted(references.keys() - predictions.keys())]
    paired = sorted(references.keys() & predictions.keys())
    if unknown or (missing and not (partial and paired)):
        faults = [f"without reference: {', '.join(unknown)}"] if unknown else []
        faults += [f"without prediction: {', '.join(missing)}"] if missing else []
        said = (
            f"{prediction} and {reference}: {'; '.join(faults)} (expected one prediction per reference). "
            "Add, rename or remove files"
        )
        if unknown or not paired:
            raise ValueError(f"{said}.")
        raise OptionError(f"{said}, or score only those that have one with ", "partial")
    if missing:
        warnings.warn(
            f"{prediction}: no prediction for {len(missing)} of {len(references)} references, which are not "
            f"scored: {', '.join(missing[:NAMED])}{', ...' if len(missing) > NAMED else ''}",
            ScanWarning,
            stacklevel=3,
        )
    return [(name, predictions[name], references[name]) for name in paired]


def _case_of(name: str, references: Collection[str]) -> str:
    """Return the case of a prediction: nnU-Net names a scan `CASE_0000` and its reference `CASE`."""
    return name if name in references else name.removesuffix(FIRST)
