"""Data with which a page shows one case slice by slice: bytes on one grid, packed as text.

The scan, its labels, a reference and the maps next to the labels are brought to closest RAS order and
shrunk by whole numbers of voxels, each axis by its own, until their text fits a limit. Contours are drawn
around the labels as they are shown. Besides labels and reference only one array is held at a time.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from monai_attn.datasets.label_classes import in_classes
from monai_attn.datasets.regions import Regions
from monai_attn.io.errors import case_error, collect_warnings
from monai_attn.io.files import sha256_of
from monai_attn.io.grid import Grid, voxel_ml
from monai_attn.io.labels import labels_of
from monai_attn.io.map_encoding import is_stored_so
from monai_attn.io.names import entropy_path
from monai_attn.io.scan import read_volume
from monai_attn.reporting.packing import (
    Bytes,
    choose_factors,
    encode,
    levels_of,
    shrink,
    shrink_labels,
    shrink_map,
    to_bytes,
)
from monai_attn.reporting.planes import Marked, label_colour, ras_affine, tilt, to_ras
from monai_attn.reporting.shown_scan import (
    SOFT_TISSUE,
    display_window,
    read_scan,
    require_grid,
)
from monai_attn.runs.records import Record

LIMIT = 14_800_000  # characters of one case: with its numbers less than 15 MB
MOST_VOXELS = 16_000_000  # shown of one volume: a browser holds half a dozen of them
MOST_LABELS = 255  # the numbers of a byte, without 0
LIBRARIES = (EOFError, TypeError, zlib.error, ImageFileError, HeaderDataError)
UNREADABLE = (OSError, ValueError, *LIBRARIES)


@dataclass(frozen=True)
class Overlay:
    """A map that is shown over the scan.

    Attributes:
        key: key of its volume.
        title: its name in the page.
        kind: `attention` or `entropy`.
    """

    key: str
    title: str
    kind: str


@dataclass(frozen=True)
class CaseView:
    """One case, ready to be shown.

    Attributes:
        affine: (4, 4) shown voxel to RAS mm.
        shape: (X, Y, Z) shown voxels.
        factors: number of the scan's voxels that a shown voxel stands for, along each axis.
        spacing: voxel size of the scan, mm.
        centre: the shown voxel to begin with.
        ranges: (3, 2) the range to begin with, mm from the centre of shown voxel 0.
        window: HU shown black and HU shown white, to begin with.
        levels: HU of each byte of the scan.
        labels: number, name, colour and millilitres of each label that is there; byte 1 is the first.
        overlays: the maps.
        volumes: deflated bytes as base64 text, by key: `image`, `labels`, `reference` and the maps'.
        notes: the parts that could not be shown, and why.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    factors: tuple[int, int, int]
    spacing: list[float]
    centre: tuple[int, int, int]
    ranges: tuple[tuple[float, float], ...]
    window: tuple[float, float]
    levels: tuple[float, ...] = ()
    labels: tuple[tuple[int, str, str, float], ...] = ()
    overlays: tuple[Overlay, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def tilt(self) -> float:
        """Largest angle between its planes and the patient's axes, in degrees."""
        return tilt(self.affine)

    @property
    def steps(self) -> tuple[float, float]:
        """Width of a step of the grey values in the middle of the window, and of the widest step, HU."""
        widths = np.diff(self.levels)
        nearest = np.abs(np.array(self.levels[1:]) - sum(self.window) / 2).argmin()
        return float(widths[nearest]), float(widths.max())


def view_case(
    record: Record,
    reference: Path | None = None,
    *,
    classes: Mapping[int, int] | None = None,
    ignore: int | None = None,
    limit: int = LIMIT,
) -> CaseView:
    """Read the files of a case and bring them to one grid that fits the limit.

    Args:
        record: the record of a case whose label map was made.
        reference: a label map on the same grid, to compare with. Where the case has no label, the view
            begins at the reference, which shows what was missed.
        classes: the label that each value of the reference stands for; a value that is not named is
            background. By default the values themselves.
        ignore: the value in the reference of voxels that count nowhere; they are shown as background.
        limit: largest number of characters of its volumes.

    Returns:
        The view. A file that is missing, was changed or cannot be read is left out, with a note.

    Raises:
        ValueError: one line, if the label map itself cannot be read.
    """
    labels, expected = _read_labels(record.labels), None
    notes = [*_doubts(record)]
    if reference:
        with _noted(notes, reference, "the reference is not shown"):
            found = _read_labels(reference, classes, ignore)
            require_grid(found.grid, labels.grid)
            expected = found.bytes
    shown = labels.bytes if labels.numbers or expected is None else expected
    whole = Marked(shown > 0, ras_affine(labels.grid.affine, labels.grid.shape))
    most = MOST_VOXELS
    while True:
        factors = choose_factors(labels.bytes.shape, tuple(whole.spacing), most)
        view = _view(record, labels, expected, whole, factors, notes)
        size = sum(map(len, view.volumes.values()))
        if size <= limit or math.prod(view.shape) == 1:
            return view
        most = int(math.prod(view.shape) * min(0.8, 0.95 * limit / size))


@dataclass(frozen=True)
class _Labels:
    """A label map in closest RAS order: byte 1 is the first of `numbers`, and `ml` their volumes."""

    grid: Grid
    bytes: Bytes
    numbers: list[int]
    ml: list[float]


def _view(
    record: Record,
    labels: _Labels,
    expected: Bytes | None,
    whole: Marked,
    factors: tuple[int, int, int],
    known: Sequence[str],
) -> CaseView:
    """Return the case at one size; the notes that are `known` before come first."""
    grid, window = labels.grid, SOFT_TISSUE
    notes = [*known]
    levels: tuple[float, ...] = ()
    shown = shrink_labels(labels.bytes, factors)
    volumes, overlays = {"labels": encode(shown)}, []
    with _noted(notes, record.scan or record.labels, "labels alone are shown"):
        image = read_scan(record, grid)
        window = display_window(record, image)
        levels = levels_of(image, window)
        volumes["image"] = encode(to_bytes(shrink(image, factors), levels))
        del image
    if expected is not None:
        volumes["reference"] = encode(shrink_labels(expected, factors))
    for overlay, path in _maps(record):
        with _noted(notes, path, "it is not shown"):
            stored = _read_map(path, grid, record.manifest.digests[path.name])
            volumes[overlay.key] = encode(shrink_map(stored, factors))
            overlays.append(overlay)
    x, y, z = shown.shape
    i, j, k = (at // factor for at, factor in zip(whole.centre, factors, strict=True))
    steps = np.array(factors, float)
    return CaseView(
        affine=whole.affine @ from_matvec(np.diag(steps), (steps - 1) / 2),
        shape=(x, y, z),
        factors=factors,
        spacing=whole.spacing,
        centre=(i, j, k),
        ranges=_ranges(whole, factors),
        window=window,
        levels=levels,
        labels=tuple(
            (label, record.manifest.named(label), label_colour(label), ml)
            for label, ml in _volumes(labels, record.manifest.regions).items()
        ),
        overlays=tuple(overlays),
        volumes=volumes,
        notes=tuple(notes),
    )


def _volumes(labels: _Labels, regions: Regions | None) -> dict[int, float]:
    """Return the volume of each label that is shown, in ml; that of a region with all that is within it."""
    own = dict(zip(labels.numbers, labels.ml, strict=True))
    if regions is None:
        return own
    return own | {
        label: sum(own.get(value, 0.0) for value in regions.values[label])
        for label in own
        if label in regions.values
    }


def _doubts(record: Record) -> Iterator[str]:
    """Yield doubts about the manifest and the label map."""
    if record.fault:
        yield record.fault
    digest = record.manifest.digests.get(record.labels.name)
    if digest and sha256_of(record.labels) != digest:
        yield f"{record.labels}: was changed since the run; volumes and numbers are of what the run wrote"


@contextmanager
def _noted(notes: list[str], path: Path, outcome: str) -> Iterator[None]:
    """Note that a file cannot be shown, and why, and go on without it."""
    try:
        yield
    except UNREADABLE as error:
        notes.append(f"{case_error(path, error)} ({outcome})")


def _read_labels(
    path: Path, classes: Mapping[int, int] | None = None, ignore: int | None = None
) -> _Labels:
    with collect_warnings():
        volume = read_volume(path, fill=None)
    values = labels_of(volume)
    if ignore is not None:
        values[values == ignore] = 0
    values = to_ras(in_classes(values, classes) if classes else values, volume.affine)
    counts: dict[int, int] = {}
    for layer in np.moveaxis(
        values, -1, 0
    ):  # sort layer by layer, and only the few voxels with a label
        found = np.unique(layer[layer > 0], return_counts=True)
        for label, count in zip(*found, strict=True):
            counts[int(label)] = counts.get(int(label), 0) + int(count)
    numbers = sorted(counts)
    if len(numbers) > MOST_LABELS:
        raise ValueError(
            f"{path}: {len(numbers)} labels; at most {MOST_LABELS} can be shown: segment fewer"
        )
    coded = np.zeros(values.shape, np.uint8)
    for layer, small in zip(np.moveaxis(values, -1, 0), np.moveaxis(coded, -1, 0), strict=True):
        marked = layer > 0
        small[marked] = np.searchsorted(numbers, layer[marked]) + 1
    ml = voxel_ml(volume.affine)
    return _Labels(volume.grid, coded, numbers, [counts[label] * ml for label in numbers])


def _maps(record: Record) -> Iterator[tuple[Overlay, Path]]:
    """Yield the maps that the run wrote next to the label map, and their paths."""
    entropy = entropy_path(record.labels)
    begin = re.escape(entropy.name.rpartition("entropy")[0])
    for name in sorted(record.manifest.digests, key=lambda name: (len(name), name)):
        level = re.match(rf"{begin}attention_(\d+)\.nii", name)
        if level:
            overlay = Overlay(f"attention_{level[1]}", f"Attention, level {level[1]}", "attention")
            yield overlay, record.labels.with_name(name)
    if entropy.name in record.manifest.digests:
        yield Overlay("entropy", "Uncertainty (entropy)", "entropy"), entropy


def _read_map(path: Path, grid: Grid, digest: str) -> Bytes:
    """Read the stored bytes in closest RAS order, if they are those that the run wrote."""
    if not path.exists():
        raise ValueError(f"{path}: the map is no longer there; segment the scan again")
    if sha256_of(path) != digest:
        raise ValueError(f"{path}: the map was changed since the run; segment the scan again")
    image = nib.load(path)
    stored = image.dataobj.get_unscaled()
    slope, shape = image.dataobj.slope, stored.shape[:3]
    if not is_stored_so(stored.dtype, slope):
        raise ValueError(
            f"{path}: not stored like a map of a run (expected fractions as bytes); segment the scan again"
        )
    require_grid(Grid(shape, image.affine, 1, path), grid)
    return to_ras(stored.reshape(shape), image.affine)


def _ranges(whole: Marked, factors: tuple[int, int, int]) -> tuple[tuple[float, float], ...]:
    """Return the range to begin with, mm from the centre of shown voxel 0 along each axis."""
    shifts = [size * (f - 1) / 2 for size, f in zip(whole.spacing, factors, strict=True)]
    return tuple((a - by, b - by) for (a, b), by in zip(whole.fields, shifts, strict=True))
