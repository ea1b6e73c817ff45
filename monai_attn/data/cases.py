"""Which files belong together: the scans a path stands for, cases with labels, pairs, outputs.

A case is named after its file, without folder and NIfTI suffix, or after its DICOM folder. Hidden files
are left out, and so are label maps that were made here, which have a manifest beside them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_attn.data.dicom.files import holds_dicom
from monai_attn.data.file_kind import require_regular
from monai_attn.data.names import (
    ATTENTION,
    LABELS,
    case_name,
    check_name,
    manifest_path,
    suffix,
)

SECTIONS = ("test", "testing", "validation", "training")  # of a datalist, in order of preference
Case = dict[str, str]


def find_images(source: str | Path) -> list[str]:
    """The scans to segment.

    Args:
        source: a NIfTI file, a folder of them, a folder with a DICOM series, a folder of such folders,
            a folder with a Decathlon `dataset.json`, or a JSON datalist. Of a datalist with several
            sections the first of test, testing, validation and training that names a case is taken.

    Returns:
        Paths in the order of the datalist, or sorted.

    Raises:
        ValueError: if there is nothing at `source`, no scan in it, or two of one name: their label
            maps would be one file.
    """
    path = Path(source)
    if path.is_dir() and not (path / "dataset.json").is_file():
        return _named_once([str(found) for found in _scans_in(path)])
    if path.is_dir() or path.suffix == ".json":
        sections = read_datalist(path)
        return _named_once([case["image"] for case in next(iter(sections.values()))])
    if not path.exists():
        require_regular(path)
    check_name(path)
    return [str(path)]


def read_datalist(path: Path) -> dict[str, list[Case]]:
    """A datalist's sections that name cases, best first; paths start at the datalist's folder.

    Args:
        path: a JSON file, or a folder with a `dataset.json`.

    Raises:
        ValueError: if there is none, or it names no case.
    """
    file = path / "dataset.json" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"{file}: does not exist; a datalist (JSON) expected: "
            "give one, or a folder with a dataset.json"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))  # Windows marks the beginning
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{file}: not readable as JSON ({error}); a datalist expected: correct the file"
        ) from error
    if isinstance(content, list):
        content = {"test": content}
    if not isinstance(content, dict):
        raise ValueError(
            f"{file}: {content!r:.40}; a list of cases, or an object with sections, expected: "
            "correct the file"
        )
    sections = {name: content[name] for name in SECTIONS if content.get(name)}
    if not sections:
        raise ValueError(
            f"{file}: names no case; one in {', '.join(SECTIONS[:-1])} or {SECTIONS[-1]} expected: "
            "add it"
        )
    for name, entries in sections.items():
        if not isinstance(entries, list):
            raise ValueError(
                f"{file}: {name} is {entries!r:.40}; a list of cases expected: correct the file"
            )
    return {name: [_case(entry, file) for entry in entries] for name, entries in sections.items()}


def find_cases(source: str | Path, *, named_once: bool = False) -> list[Case]:
    """The labelled cases of a Decathlon folder or a JSON datalist: `{"image": ..., "label": ...}`.

    Args:
        source: the folder or the datalist.
        named_once: refuse two images of one name, for use where label maps are written.

    Raises:
        ValueError: if there is no datalist, or a case in it has no label or no file.
    """
    path = Path(source)
    sections = read_datalist(path)
    cases = sections.get("training") or next(iter(sections.values()))
    for case in cases:
        if "label" not in case:
            raise ValueError(
                f"{path}: case {case['image']} has no label; one for each case expected: "
                "add it, or leave out the case"
            )
        for file in (case["image"], case["label"]):
            if not Path(file).is_file():
                raise ValueError(
                    f"{file}: does not exist, but {path} names it; a file expected: "
                    "copy it there, or correct the datalist"
                )
    if named_once:
        _named_once([case["image"] for case in cases])
    return cases


def split_cases(
    cases: Sequence[Case], *, validation: float = 0.2, seed: int = 0
) -> dict[str, list[Case]]:
    """Shuffle by the seed and keep a fraction (at least one case) for validation.

    Raises:
        ValueError: if fewer than two cases are given, or `validation` is not between 0 and 1.
    """
    if len(cases) < 2:
        raise ValueError(
            f"cases (={len(cases)}) must be two or more: one part trains, one validates"
        )
    if not 0 < validation < 1:
        raise ValueError(f"validation (={validation}) must lie between 0 and 1")
    order = np.random.default_rng(seed).permutation(len(cases))
    held_out = min(len(cases) - 1, max(1, round(validation * len(cases))))
    return {
        "training": [cases[i] for i in sorted(order[held_out:])],
        "validation": [cases[i] for i in sorted(order[:held_out])],
    }


def pair_cases(prediction: str | Path, reference: str | Path) -> list[tuple[str, Path, Path]]:
    """Pair predicted label maps with reference label maps.

    Folders are paired by case name, a prediction's without its `_seg`; two files are a pair
    whatever their names.

    Args:
        prediction: a NIfTI file, or a folder of them.
        reference: the same kind.

    Returns:
        Case name, prediction and reference, sorted by name.

    Raises:
        ValueError: if a path is missing, is no NIfTI file by name, or a file has no counterpart.
    """
    prediction, reference = Path(prediction), Path(reference)
    for path in (prediction, reference):
        if not path.exists():
            raise ValueError(
                f"{path}: no such file or folder; a NIfTI label map or a folder of them expected: "
                "check the path"
            )
    if prediction.is_dir() != reference.is_dir():
        kinds = ["a folder" if path.is_dir() else "a file" for path in (prediction, reference)]
        raise ValueError(
            f"{prediction}: {kinds[0]}, but {reference} is {kinds[1]}; "
            "two files or two folders expected: give both of one kind"
        )
    if prediction.is_dir():
        return _pair_folders(prediction, reference)
    check_name(prediction)
    check_name(reference)
    return [(case_name(reference), prediction, reference)]


def _pair_folders(prediction: Path, reference: Path) -> list[tuple[str, Path, Path]]:
    references = _by_name({path: case_name(path) for path in _nifti_files(reference)})
    # a reference may be called a_seg itself: then so is its case
    predictions = _by_name(
        {
            path: name if name in references else name.removesuffix("_seg")
            for path, name in ((path, case_name(path)) for path in _nifti_files(prediction))
            if name in references or not ATTENTION.search(name)
        }
    )
    faults = []
    for kind, mine, others in (
        ("reference", predictions, references),
        ("prediction", references, predictions),
    ):
        alone = [str(mine[name]) for name in sorted(mine.keys() - others.keys())]
        if alone:
            faults.append(f"without {kind}: {', '.join(alone)}")
    if faults:
        raise ValueError(
            f"{prediction} and {reference}: {'; '.join(faults)}; "
            "one prediction per reference expected: add, rename or take away files"
        )
    return [(name, predictions[name], references[name]) for name in sorted(references)]


def _by_name(names: dict[Path, str]) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path, name in names.items():
        if name in by_name:
            raise ValueError(
                f"{by_name[name]} and {path}: both are case {name}; one file per case expected: "
                "rename one, or take it away"
            )
        by_name[name] = path
    return by_name


def _scans_in(folder: Path) -> list[Path]:
    """The NIfTI scans in a folder, the folder itself and those in it if they hold a DICOM series."""
    entries = _visible(folder)
    scans = [path for path in entries if suffix(path) and not path.is_dir()]
    names = {path.name.lower() for path in scans}
    scans = [
        path
        for path in scans
        if not _made_here(path)
        and not (path.suffix.lower() == ".img" and f"{path.stem}.hdr".lower() in names)
    ]
    series = [path for path in (folder, *entries) if path.is_dir() and holds_dicom(path)]
    if scans or series:
        return sorted([*scans, *series])
    raise ValueError(
        f"{folder}: no scan among {len(entries)} entries; .nii.gz or .nii files, or a DICOM series, "
        "expected: give the folder that holds them"
    )


def _nifti_files(folder: Path) -> list[Path]:
    """The label maps in a folder."""
    entries = _visible(folder)
    files = [path for path in entries if suffix(path, LABELS) and not path.is_dir()]
    if not files:
        raise ValueError(
            f"{folder}: no NIfTI file among {len(entries)} entries; "
            ".nii or .nii.gz files expected: give the folder that holds them"
        )
    return files


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name[0] != ".")


def _made_here(path: Path) -> bool:
    """Whether a file is a label map that was made here, or an attention map beside one."""
    if not suffix(path, LABELS):
        return False
    names = [ATTENTION.sub(end, case_name(path)) for end in ("_seg", "")]
    try:
        return any(manifest_path(path.with_name(f"{name}.nii")).exists() for name in names)
    except OSError:  # its name would be too long: there is none
        return False


def _named_once(images: list[str]) -> list[str]:
    """The images, if no two would give label maps of one name; any suffix will do here."""
    _by_name({Path(image): case_name(image) for image in images})
    return images


def _case(entry: Any, file: Path) -> Case:
    """One entry of a datalist: a path, or an object with `image` and perhaps `label`."""
    fields = {"image": entry} if isinstance(entry, str) else entry
    image = fields.get("image") if isinstance(fields, dict) else None
    if not (isinstance(image, str) and image) or "\0" in image:
        raise ValueError(
            f"{file}: the entry {entry!r:.80} names no image; a path, or an object with image and "
            "perhaps label, expected: correct the file"
        )
    label = fields.get("label")
    case = {"image": str(file.parent / image)}
    return {**case, "label": str(file.parent / label)} if isinstance(label, str) else case
