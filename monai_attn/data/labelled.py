"""Labelled cases, read and checked as a whole before hours are spent on training."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes

from monai_attn.data.affine import shear_doubt
from monai_attn.data.datalist import Case
from monai_attn.data.errors import Faults, ScanWarning, case_error, noted_doubts
from monai_attn.data.grid import Grid, same_grid
from monai_attn.data.hounsfield import doubts
from monai_attn.data.ignore import no_known_voxel
from monai_attn.data.labels import labels_of
from monai_attn.data.names import real_path
from monai_attn.data.volume import read_volume

READERS = 2  # cases read at a time: of each, memory holds a scan and a few copies of its label map


@dataclass(frozen=True)
class CheckedCase:
    """What is known of a case once it was read.

    Attributes:
        case: its `image` and `label`.
        shape: (X, Y, Z) voxels.
        spacing: mm along these axes.
        voxels: how many hold each value of the label map, by ascending value, the ignore value left out.
        digest: of the image's voxels: equal for two copies of one scan.
        ignored: how many hold the ignore value.
    """

    case: Case
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    voxels: dict[int, int]
    digest: str
    ignored: int = 0


@dataclass(frozen=True)
class CheckedCases:
    """Cases that can train, and what is doubtful about them.

    Attributes:
        cases: in the order given.
        doubts: a line each, that names the file.
    """

    cases: tuple[CheckedCase, ...]
    doubts: tuple[str, ...]

    @property
    def found(self) -> tuple[int, ...]:
        """The values that the label maps hold, ascending, the ignore value left out."""
        return tuple(sorted({value for case in self.cases for value in case.voxels}))


def check_cases(
    cases: Sequence[Case],
    *,
    allowed: Collection[int] | None = None,
    ignore: int | None = None,
    on_case: Callable[[Case], None] | None = None,
) -> CheckedCases:
    """Read every image and label map to its end, and check that they can train.

    Refused are files that cannot be read, a label map off its image's grid or with other values than
    labels, one image in two cases, label maps that are all empty, and one of which every voxel is
    ignored. Doubtful are images that do not look like CT in HU, an empty label map, images with the same
    voxels, and an ignore value that no label map holds.

    Args:
        cases: `{"image": ..., "label": ...}` each.
        allowed: values that label maps may hold beside 0, such as those declared; by default, and if
            empty, any.
        ignore: value of voxels that count nowhere, if there is one; it is always allowed.
        on_case: called after each case, in order.

    Raises:
        Faults: a line for each fault of each file.

    Example:
        >>> checked = check_cases(find_cases("DATA"))  # doctest: +SKIP
        >>> checked.found  # doctest: +SKIP
        (0, 1)
    """
    looked: list[CheckedCase] = []
    faults = _shared_images(cases)
    pool = ThreadPoolExecutor(READERS)
    try:
        with noted_doubts() as noted:
            for case, (checked, wrong) in zip(
                cases, pool.map(lambda case: _check_case(case, allowed, ignore), cases), strict=True
            ):
                looked += [checked] if checked else []
                faults += wrong
                if on_case:
                    on_case(case)
    finally:  # an interrupted check does not read what is left
        pool.shutdown(cancel_futures=True)
    if not faults and not any(max(checked.voxels) > 0 for checked in looked):
        faults.append(
            f"{len(cases)} cases: no label map holds a value above 0; one expected: label the scans"
        )
    if faults:
        raise Faults(*faults)
    doubts = [*sorted(noted), *_copies(looked)]
    if ignore is not None and not any(checked.ignored for checked in looked):
        doubts.append(
            f"{len(cases)} cases: no label map holds the ignore value {ignore}; is it another?"
        )
    return CheckedCases(tuple(looked), tuple(doubts))


def count_labels(
    path: str | Path, grid: Grid, ignore: int | None = None
) -> tuple[dict[int, int], int]:
    """How many voxels hold each value of a label map, if it lies on a scan's grid.

    Args:
        path: a NIfTI file.
        grid: the scan's.
        ignore: value of voxels that count nowhere, if there is one.

    Returns:
        Value to number of voxels, by ascending value, the ignore value left out; and how many hold that.

    Raises:
        ValueError: one line, if the file cannot be read, is off the grid, is no label map, or holds the
            ignore value only.
    """
    label = read_volume(path, fill=None)
    if label.shape != grid.shape or not same_grid(label.shape, label.affine, grid.affine):
        raise ValueError(f"{path}: is not on the grid of {grid.path}; resample the label to it")
    labels = labels_of(label)
    ignored = 0
    if ignore is not None:
        labels = labels[labels != ignore]
        ignored = math.prod(label.shape) - labels.size
        if not labels.size:
            raise ValueError(no_known_voxel(path, ignore))
    foreground = labels[labels > 0]  # a few per cent of a scan: the rest need not be sorted
    values, counts = np.unique(foreground, return_counts=True)
    background = labels.size - foreground.size
    voxels = {0: background} if background else {}
    return voxels | dict(zip(values.tolist(), counts.tolist(), strict=True)), ignored


def _check_case(
    case: Case, allowed: Collection[int] | None, ignore: int | None
) -> tuple[CheckedCase | None, list[str]]:
    """A case as it was read, or what is wrong with its files, a line each; doubts are warned about."""
    image, label = Path(case["image"]), Path(case["label"])
    try:
        grid, digest = _read_image(image)
    except Exception as error:  # as in a run: the other files are checked
        return None, [case_error(image, error), *_label_faults(label)]
    try:
        voxels, ignored = count_labels(label, grid, ignore)
        _check_values(label, voxels, allowed)
    except Exception as error:
        return None, [case_error(label, error)]
    spacing = tuple(voxel_sizes(grid.affine).tolist())
    return CheckedCase(case, grid.shape, spacing, voxels, digest, ignored), []


def _read_image(path: Path) -> tuple[Grid, str]:
    """Where an image lies, and the digest of its voxels; what makes it doubtful is warned about."""
    volume = read_volume(path)
    for doubt in filter(None, [*doubts(volume.data, volume.affine), shear_doubt(volume.affine)]):
        warnings.warn(f"{path}: {doubt}", ScanWarning, stacklevel=2)
    digest = sha256(str(volume.shape).encode())
    digest.update(np.ascontiguousarray(volume.data.T).data)  # x first, as in a file: no copy
    return volume.grid, digest.hexdigest()


def _label_faults(path: Path) -> list[str]:
    """What is wrong with a label map whose image cannot be read."""
    try:
        labels_of(read_volume(path, fill=None))
    except Exception as error:
        return [case_error(path, error)]
    return []


def _check_values(path: Path, voxels: dict[int, int], allowed: Collection[int] | None) -> None:
    """Refuse values that are not allowed, and warn of a label map that is empty."""
    known = {0, *allowed} if allowed else voxels.keys()
    wrong = sorted(voxels.keys() - known)
    if wrong:
        raise ValueError(
            f"{path}: holds {', '.join(map(str, wrong[:20]))}; "
            f"{', '.join(map(str, sorted(known)))} expected: "
            "correct it, declare the value, choose classes with --label, or --ignore it"
        )
    if max(voxels) == 0:
        warnings.warn(f"{path}: no voxel is labelled; is it finished?", ScanWarning, stacklevel=2)


def _shared_images(cases: Sequence[Case]) -> list[str]:
    """A line for each image that several cases have, links followed."""
    times = Counter(real_path(Path(case["image"])) for case in cases)
    return [
        f"{image}: the image of {count} cases; one expected: leave out the others"
        for image, count in times.items()
        if count > 1
    ]


def _copies(cases: Sequence[CheckedCase]) -> list[str]:
    """A line for each image with the voxels of one before it: chance may train and validate with it."""
    first: dict[str, str] = {}
    copies = []
    for checked in cases:
        image = checked.case["image"]
        original = first.setdefault(checked.digest, image)
        if original != image:
            copies.append(f"{image}: holds the same voxels as {original}; leave one out")
    return copies
