"""Labelled cases, read and checked completely before hours of training."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from monai_attn.datasets.channels import Channel
from monai_attn.datasets.datalist import Case, first_file
from monai_attn.datasets.ignore import no_known_voxel
from monai_attn.datasets.references import check_on_grid
from monai_attn.io.affine import shear_warning
from monai_attn.io.channels import files_of, open_image
from monai_attn.io.errors import Faults, OptionError, ScanWarning, case_error, collect_warnings
from monai_attn.io.grid import Grid
from monai_attn.io.hounsfield import extent_warnings, value_warnings
from monai_attn.io.labels import labels_of
from monai_attn.io.names import real_path
from monai_attn.io.scan import AIR, read_volume

READERS = 2  # cases read at a time; each takes memory for a scan and a few copies of its label map


@dataclass(frozen=True)
class CheckedCase:
    """A case that was read, with the results of its check.

    Attributes:
        case: paths of its `image`, one for each channel if it has several, and its `label`.
        shape: (X, Y, Z) voxels.
        spacing: mm along these axes.
        voxels: value in the label map to number of voxels, by ascending value, without the ignore value.
        digest: SHA-256 of the image's voxels, equal for two copies of one scan.
        ignored: number of voxels that hold the ignore value.
        filled: part of the image within the box of the voxels that are not 0, if it is not only CT in HU.
    """

    case: Case
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    voxels: dict[int, int]
    digest: str
    ignored: int = 0
    filled: float = 1.0


@dataclass(frozen=True)
class CheckedCases:
    """Cases that can train, and doubts about them.

    Attributes:
        cases: in the order given.
        doubts: one line each, that names the file.
    """

    cases: tuple[CheckedCase, ...]
    doubts: tuple[str, ...]

    @property
    def label_values(self) -> tuple[int, ...]:
        """Values in the label maps, ascending, without the ignore value."""
        return tuple(sorted({value for case in self.cases for value in case.voxels}))


def check_cases(
    cases: Sequence[Case],
    *,
    allowed: Collection[int] | None = None,
    declared: Mapping[int, str] | None = None,
    ignore: int | None = None,
    channels: Sequence[Channel] = (),
    on_case: Callable[[Case], None] | None = None,
) -> CheckedCases:
    """Read every image and label map to its end, and check that they can train.

    Faults are files that cannot be read, a label map off its image's grid or with values that are no
    labels, one image in two cases, only empty label maps, and a label map in which every voxel is
    ignored; for images of several channels a channel off the grid of the first. Doubts are images that do
    not look like CT in HU, unless the name of their channel says that they are none, an empty label map,
    images with the same voxels, and an ignore value that no label map holds.

    Args:
        cases: `{"image": ..., "label": ...}` each.
        allowed: values that label maps may hold in addition to 0, such as those declared; by default, and
            if empty, any.
        declared: value to declared name, for the remedy that a message names.
        ignore: value of voxels that count nowhere, if there is one; it is always allowed.
        channels: the channels of the images; by default each is CT.
        on_case: called after each case, in order.

    Raises:
        Faults: a line for each fault of each file.

    Example:
        >>> checked = check_cases(find_cases("DATA"))  # doctest: +SKIP
        >>> checked.label_values  # doctest: +SKIP
        (0, 1)
    """
    results: list[CheckedCase] = []
    faults: list[str | OptionError] = [*_shared_images(cases)]
    pool = ThreadPoolExecutor(READERS)
    try:
        with collect_warnings() as scan_warnings:
            for case, (checked, case_faults) in zip(
                cases,
                pool.map(
                    lambda case: _check_case(case, allowed, declared or {}, ignore, channels), cases
                ),
                strict=True,
            ):
                results += [checked] if checked else []
                faults += case_faults
                if on_case:
                    on_case(case)
    finally:  # an interrupted check does not read the remaining cases
        pool.shutdown(cancel_futures=True)
    if not faults and not any(max(checked.voxels) > 0 for checked in results):
        faults.append(
            f"{len(cases)} cases: no label map has a value above 0 (expected one or more). Label the "
            "scans."
        )
    if faults:
        raise Faults(*faults)
    doubts = [*sorted(scan_warnings), *_copies(results)]
    if ignore is not None and not any(checked.ignored for checked in results):
        doubts.append(
            f"{len(cases)} cases: no label map has the ignore value {ignore}. Check the value."
        )
    return CheckedCases(tuple(results), tuple(doubts))


def count_labels(
    path: str | Path, grid: Grid, ignore: int | None = None
) -> tuple[dict[int, int], int]:
    """Count the voxels of each value in a label map, which must lie on a scan's grid.

    Args:
        path: a NIfTI file.
        grid: the scan's grid.
        ignore: value of voxels that count nowhere, if there is one.

    Returns:
        Value to number of voxels, by ascending value, without the ignore value; and the number of those
        that hold the ignore value.

    Raises:
        ValueError: one line, if the file cannot be read, is off the grid, is no label map, or holds only the
            ignore value.
    """
    label = read_volume(path, fill=None)
    check_on_grid(label.grid, grid)
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
    case: Case,
    allowed: Collection[int] | None,
    declared: Mapping[int, str],
    ignore: int | None,
    channels: Sequence[Channel],
) -> tuple[CheckedCase | None, list[str | OptionError]]:
    """Read and check a case; return it, or a line for each fault of its files. Warn about doubts."""
    image, label = Path(first_file(case)), Path(case["label"])
    try:
        grid, digest, filled = read_image(case, channels)
    except Exception as error:  # whatever is wrong with it, check the other files
        return None, [case_error(image, error), *_label_faults(label)]
    try:
        voxels, ignored = count_labels(label, grid, ignore)
        check_values(label, voxels, allowed, declared)
    except OptionError as error:
        return None, [error]
    except Exception as error:
        return None, [case_error(label, error)]
    spacing = tuple(voxel_sizes(grid.affine).tolist())
    return CheckedCase(case, grid.shape, spacing, voxels, digest, ignored, filled), []


def read_image(case: Case, channels: Sequence[Channel]) -> tuple[Grid, str, float]:
    """Read the channels of an image one after the other, and warn about doubts.

    Returns:
        The grid, the digest of the voxels, and the part within the box of the voxels that are not 0.
    """
    scan, filled, digest = open_image(case["image"]), 0.0, sha256()
    digest.update(str(scan.grid.shape).encode())
    for number, channel in enumerate(scan.channels):
        hu = number >= len(channels) or channels[number].may_be_hu
        volume = channel.read(fill=AIR if hu else 0.0)
        for doubt in value_warnings(volume.data, volume.affine, hu=hu):
            warnings.warn(f"{channel.path}: {doubt}", ScanWarning, stacklevel=2)
        digest.update(np.ascontiguousarray(volume.data.T).data)  # x first, as in a file: no copy
        filled = max(filled, 1.0 if hu else filled_share(volume.data))
    affine = scan.grid.affine
    for doubt in filter(None, [*extent_warnings(scan.grid.shape, affine), shear_warning(affine)]):
        warnings.warn(f"{scan.path}: {doubt}", ScanWarning, stacklevel=2)
    return scan.grid, digest.hexdigest(), filled


def filled_share(image: NDArray[np.float32]) -> float:
    """Return the part of an image (X, Y, Z) within the box of its voxels that are not 0."""
    share, inside = 1.0, image != 0
    for axis in range(image.ndim):
        present = np.flatnonzero(inside.any(axis=tuple(n for n in range(image.ndim) if n != axis)))
        share *= (present[-1] - present[0] + 1) / image.shape[axis] if present.size else 0.0
    return float(share)


def _label_faults(path: Path) -> list[str]:
    """Return the faults of a label map whose image cannot be read."""
    try:
        labels_of(read_volume(path, fill=None))
    except Exception as error:
        return [case_error(path, error)]
    return []


def check_values(
    path: Path,
    voxels: Mapping[int, int],
    allowed: Collection[int] | None,
    declared: Mapping[int, str],
) -> None:
    """Refuse values that are not allowed, and warn of a label map that is empty.

    Args:
        path: the label map.
        voxels: value to number of voxels.
        allowed: as for `check_cases`.
        declared: as for `check_cases`.

    Raises:
        ValueError: if a value is not allowed; an `OptionError` if it is declared, so that it can be chosen.
    """
    known = {0, *allowed} if allowed else voxels.keys()
    wrong = sorted(voxels.keys() - known)
    chosen = [declared[value] for value in wrong if value in declared]
    if chosen:
        raise OptionError(
            f"{path}: label values without a class (got {', '.join(map(str, wrong[:20]))}, expected "
            f"{', '.join(map(str, sorted(known)))}). Choose the classes by their declared names, such as ",
            "label",
            chosen[0],
        )
    if wrong:
        raise ValueError(
            f"{path}: unknown label values (got {', '.join(map(str, wrong[:20]))}, expected "
            f"{', '.join(map(str, sorted(known)))}). Correct the label map, declare the values, choose "
            "classes, or ignore the value."
        )
    if max(voxels) == 0:
        warnings.warn(
            f"{path}: no voxel is labelled. Check whether it is finished.",
            ScanWarning,
            stacklevel=2,
        )


def _shared_images(cases: Sequence[Case]) -> list[str]:
    """Return a line for each image that several cases share, with links resolved."""
    times = Counter(
        real_path(file) for case in cases for file in dict.fromkeys(files_of(case["image"]))
    )
    return [
        f"{image}: the image of {count} cases (expected 1). Leave out the other cases."
        for image, count in times.items()
        if count > 1
    ]


def _copies(cases: Sequence[CheckedCase]) -> list[str]:
    """Return a line for each image with the same voxels as an earlier one: a split may separate them."""
    first: dict[str, str] = {}
    copies = []
    for checked in cases:
        image = first_file(checked.case)
        original = first.setdefault(checked.digest, image)
        if original != image:
            copies.append(f"{image}: has the same voxels as {original}. Leave one of them out.")
    return copies
