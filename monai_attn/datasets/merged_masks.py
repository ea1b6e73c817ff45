"""Merge the masks of several structures into label maps, as a data set that everything else reads."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_attn.datasets.datalist import Case
from monai_attn.datasets.label_classes import BACKGROUND, IGNORE
from monai_attn.datasets.masks import MASKS, has_masks, mask_cases
from monai_attn.datasets.references import check_reference, read_reference
from monai_attn.io.errors import Faults, ScanWarning
from monai_attn.io.files import make_writable
from monai_attn.io.grid import Grid
from monai_attn.io.scan import read_grid
from monai_attn.io.writer import write_labels

LABELS = "labelsTr"


def merge_masks(
    source: str | Path,
    output: str | Path,
    structures: Sequence[str],
    *,
    on_case: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a label map for each case of a data set with a mask for each structure, and list the cases.

    The scans stay where they are. The folder appears whole or not at all.

    Args:
        source: a data set such as TotalSegmentator's: `CASE/ct.nii.gz` and `CASE/segmentations/NAME.nii.gz`.
        output: folder to write, which must not exist or be empty: `labelsTr/CASE.nii.gz`, and
            `dataset.json`, which names the scans by relative paths.
        structures: names of masks. The first becomes the value 1, the second 2, and so on. A voxel in two
            masks gets the later value, with a `ScanWarning` that counts them.
        on_case: called with (cases done, number of cases) after each case.

    Returns:
        The path of `dataset.json`, in the format of the Medical Segmentation Decathlon.

    Raises:
        ValueError: if `source` has no masks, a name is given twice or is reserved, or `output` is not empty.
        Faults: a line for each mask that is missing, not on the grid of its scan, or holds other values than
            0 and 1.
    """
    source, output = Path(source), Path(output)
    _check(source, output, structures)
    cases = _cases(source, structures)
    make_writable(output.absolute().parent)
    faults: list[str] = []
    entries: list[Case] = []
    with tempfile.TemporaryDirectory(
        prefix=f".{output.name}.", dir=output.absolute().parent
    ) as part:
        folder = Path(part) / output.name
        (folder / LABELS).mkdir(parents=True)
        for number, (image, masks) in enumerate(cases, 1):
            name = f"{image.parent.name}.nii.gz"
            try:
                scan = read_grid(image)
                write_labels(folder / LABELS / name, _merged(image, scan, masks), scan)
            except Faults as error:
                faults += error.lines
            inside = os.path.relpath(image.absolute(), output.absolute())
            entries.append({"image": Path(inside).as_posix(), "label": f"./{LABELS}/{name}"})
            if on_case:
                on_case(number, len(cases))
        if faults:
            raise Faults(*faults)
        labels = {str(value): name for value, name in enumerate([BACKGROUND, *structures])}
        content = {"name": source.absolute().name, "labels": labels, "training": entries}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / "dataset.json").write_text(text, encoding="utf-8")
        folder.replace(output)  # an empty folder may be there
    return output / "dataset.json"


def _check(source: Path, output: Path, structures: Sequence[str]) -> None:
    if not has_masks(source):
        raise ValueError(
            f"{source}: no masks (expected CASE/{MASKS}/NAME.nii.gz in it). Give the folder of the cases."
        )
    if not structures:
        raise ValueError(f"{source}: no structure is named (expected one or more). Name the masks.")
    wrong = {name for name in structures if structures.count(name) > 1}
    wrong |= {BACKGROUND, IGNORE} & {*structures}
    if wrong:
        raise ValueError(
            f"structures (={', '.join(structures)}): {', '.join(sorted(wrong))} is named twice or reserved. "
            "Name each structure once."
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output}: exists and is not empty. Choose another folder.")


def _cases(source: Path, structures: Sequence[str]) -> list[tuple[Path, dict[str, Path]]]:
    """Return the scan of each case, and its mask of each structure; all faults at once."""
    found: dict[str, list[Case]] = {}
    faults: list[str] = []
    for name in structures:
        try:
            found[name] = mask_cases(source, [f"1={name}"])
        except Faults as error:
            faults += error.lines
    if faults:
        raise Faults(*dict.fromkeys(faults))
    images = [Path(str(case["image"])) for case in found[structures[0]]]
    masks = [
        {name: Path(str(cases[number]["label"])) for name, cases in found.items()}
        for number in range(len(images))
    ]
    return list(zip(images, masks, strict=True))


def _merged(image: Path, scan: Grid, masks: dict[str, Path]) -> NDArray[np.uint8 | np.uint16]:
    """Return the labels (X, Y, Z) of one case; a line for each mask that cannot be used."""
    labels = np.zeros(scan.shape, np.uint8 if len(masks) < 256 else np.uint16)
    faults, twice = [], 0
    for value, path in enumerate(masks.values(), 1):
        try:
            check_reference(path, image)
            inside = read_reference(path, scan, {0: 0, 1: 1}) == 1
        except ValueError as error:
            faults.append(str(error))
            continue
        twice += int(np.count_nonzero(labels[inside]))
        labels[inside] = value
    if faults:
        raise Faults(*faults)
    if twice:
        warnings.warn(
            f"{image.parent}: voxels in several masks (got {twice}, expected none); the mask named "
            "last counts. Look at the label map.",
            ScanWarning,
            stacklevel=3,
        )
    return labels
