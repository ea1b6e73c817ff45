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
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from monai_attn.io.errors import case_error
from monai_attn.io.files import sha256_of
from monai_attn.io.grid import Grid, voxel_ml
from monai_attn.io.map_encoding import is_stored_so
from monai_attn.io.names import entropy_path
from monai_attn.reporting.colours import label_colour
from monai_attn.reporting.differences import MOST_PLACES, Place, differences_of, places_of
from monai_attn.reporting.label_bytes import LabelBytes, read_label_bytes
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
from monai_attn.reporting.planes import Marked, ras_affine, tilt, to_ras
from monai_attn.reporting.shown_scan import (
    SOFT_TISSUE,
    display_window,
    read_scan,
    require_grid,
)
from monai_attn.runs.records import Record

LIMIT = 14_800_000  # characters of one case: with its numbers less than 15 MB
MOST_VOXELS = 200_000_000  # shown of one volume: a browser holds half a dozen of them
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
        places: connected places where labels and reference differ, and the ml of each, largest first.
        more_places: number of smaller places that are not listed.
        difference_ml: volume of each kind of difference, in the order of `KINDS`, with a reference.
        notes: the parts that could not be shown, and why.
        full: the same case on the scan's own grid, if it does not fit the limit and was asked for.
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
    places: tuple[tuple[Place, float], ...] = ()
    more_places: int = 0
    difference_ml: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    full: CaseView | None = None

    @property
    def offset(self) -> list[float]:
        """Distance of its first voxel's centre from that of the scan's, along each axis, mm."""
        pairs = zip(self.factors, self.spacing, strict=True)
        return [size * (factor - 1) / 2 for factor, size in pairs]

    @property
    def size(self) -> int:
        """Number of characters of its volumes."""
        return sum(map(len, self.volumes.values()))

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
    full: bool = False,
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
        full: if the scan's own grid does not fit, return the case on this grid too.

    Returns:
        The view. A file that is missing, was changed or cannot be read is left out, with a note.

    Raises:
        ValueError: one line, if the label map itself cannot be read.
    """
    labels, expected = read_label_bytes(record.labels), None
    notes = [*_doubts(record)]
    if reference:
        with _noted(notes, reference, "the reference is not shown"):
            found = read_label_bytes(reference, classes, ignore)
            require_grid(found.grid, labels.grid)
            numbers = sorted({*labels.numbers, *found.numbers})
            labels, expected = labels.numbered(numbers), found.numbered(numbers)
    shown = expected if expected is not None and not any(labels.ml) else labels
    whole = Marked(shown.bytes > 0, ras_affine(labels.grid.affine, labels.grid.shape))
    most, fullest = MOST_VOXELS, None
    while True:
        factors = choose_factors(labels.bytes.shape, tuple(whole.spacing), most)
        view = _view(record, labels, expected, whole, factors, notes)
        if view.size <= limit or math.prod(view.shape) == 1:
            break
        if full and max(factors) == 1:
            fullest = view
        # where blocks are averaged, noise goes: the rest packs better
        most = int(math.prod(view.shape) * min(0.8, 1.25 * limit / view.size))
        del view
    view = replace(view, full=fullest)
    return view if expected is None else _compared(view, labels, expected)


def _compared(view: CaseView, labels: LabelBytes, expected: LabelBytes) -> CaseView:
    """Return a view with the places where labels and reference differ, on the scan's own grid."""
    kinds = differences_of(labels.bytes, expected.bytes, expected.ignored)
    places = places_of(kinds)
    ml = voxel_ml(labels.grid.affine)
    counts = np.bincount(kinds[kinds > 0], minlength=4)[1:]
    listed = tuple((place, place.voxels * ml) for place in places[:MOST_PLACES])
    more, sizes = len(places) - len(listed), tuple(float(count * ml) for count in counts)
    if view.full:
        view = replace(
            view, full=replace(view.full, places=listed, more_places=more, difference_ml=sizes)
        )
    return replace(view, places=listed, more_places=more, difference_ml=sizes)


def _view(
    record: Record,
    labels: LabelBytes,
    expected: LabelBytes | None,
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
        reference = shrink_labels(expected.bytes, factors)
        ignored = expected.ignored
        if ignored is not None:
            ignored = shrink_labels(ignored.astype(np.uint8), factors) > 0
        volumes["reference"] = encode(reference)
        volumes["differences"] = encode(differences_of(shown, reference, ignored))
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
            for label, ml in labels.volumes(record.manifest.regions).items()
        ),
        overlays=tuple(overlays),
        volumes=volumes,
        notes=tuple(notes),
    )


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
