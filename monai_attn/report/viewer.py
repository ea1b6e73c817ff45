"""What a page holds of one case to show it slice by slice: bytes on one grid, packed as text.

The scan, its labels, a reference and the maps beside the labels are brought to closest RAS order and
shrunk by whole numbers of voxels, each axis by its own, until their text fits a limit. A scan's voxel is
then the mean of those it stands for, a label's the label that most of them have, and a map's the mean of
those that were looked at. Contours are drawn around the labels as they are shown.

HU become 256 steps, finest in the middle of the window that the network sees and wider away from it (an
inverse hyperbolic sine): any window can be chosen in the page, and soft tissue loses nothing that shows.
One array is held at a time.
"""

from __future__ import annotations

import math
import re
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from monai_attn.data.errors import case_error, noted_doubts
from monai_attn.data.files import sha256_of
from monai_attn.data.grid import Grid, same_grid, voxel_ml
from monai_attn.data.labels import labels_of
from monai_attn.data.names import entropy_path
from monai_attn.data.volume import read_volume, scan_sha256
from monai_attn.report.planes import Marked, label_colour, ras_affine, tilt, to_ras
from monai_attn.report.records import Record, number

Bytes = NDArray[np.uint8]
LIMIT = 14_800_000  # characters of one case: with its numbers less than 15 MB
MOST_VOXELS = 16_000_000  # shown of one volume: a browser holds half a dozen of them
SOFT_TISSUE = (-160.0, 240.0)  # HU, where the bundle names no range
BEND = 0.5  # of the window's width: at its ends a step is 1.4 times that in its middle
REACH = 8.0  # windows on either side of the middle, beyond which values are cut: metal
MAP_STEPS = 50  # a map's values are shown to 0.02
MOST_LABELS = 255  # numbers of a byte
UNSEEN = 0  # the byte of a map where nothing was looked at
MAP_SLOPE = 1 / 254  # bytes 1 to 255 are 0 to 1
LIBRARIES = (EOFError, TypeError, zlib.error, ImageFileError, HeaderDataError)
UNREADABLE = (OSError, ValueError, *LIBRARIES)


@dataclass(frozen=True)
class Overlay:
    """A map over the scan.

    Attributes:
        key: of its volume.
        title: what it is.
        kind: `attention` or `entropy`.
    """

    key: str
    title: str
    kind: str


@dataclass(frozen=True)
class View:
    """One case, ready to be shown.

    Attributes:
        affine: (4, 4) shown voxel to RAS mm.
        shape: (X, Y, Z) shown voxels.
        factors: how many of the scan's voxels a shown one stands for, along each axis.
        spacing: of the scan, mm.
        centre: the shown voxel to begin with.
        ranges: (3, 2) the range to begin with, mm from the centre of shown voxel 0.
        window: HU shown black and HU shown white, to begin with.
        levels: HU of each byte of the scan.
        labels: number, name, colour and millilitres of each label that is there; byte 1 is the first.
        overlays: the maps.
        volumes: deflated bytes as base64 text, by key: `image`, `labels`, `reference` and the maps'.
        notes: what could not be shown, and why.
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
        """By how many degrees its planes are off the patient's axes."""
        return tilt(self.affine)

    @property
    def steps(self) -> tuple[float, float]:
        """The width of a step of the scan's values in the middle of the window, and the widest, HU."""
        widths = np.diff(self.levels)
        nearest = np.abs(np.array(self.levels[1:]) - sum(self.window) / 2).argmin()
        return float(widths[nearest]), float(widths.max())


def view_case(record: Record, reference: Path | None = None, *, limit: int = LIMIT) -> View:
    """Read what there is of a case and bring it to one grid that fits the limit.

    Args:
        record: of a case whose label map was made.
        reference: a label map on the same grid, to compare with.
        limit: the most characters that its volumes may take.

    Returns:
        The view; what is missing, was changed or cannot be read is left out, with a note.

    Raises:
        ValueError: one line, if the label map itself cannot be read.
    """
    labels = _read_labels(record.labels)
    whole = Marked(labels.bytes > 0, ras_affine(labels.grid.affine, labels.grid.shape))
    most = MOST_VOXELS
    while True:
        factors = choose_factors(labels.bytes.shape, tuple(whole.spacing), most)
        view = _view(record, reference, labels, whole, factors)
        size = sum(map(len, view.volumes.values()))
        if size <= limit or math.prod(view.shape) == 1:
            return view
        most = int(math.prod(view.shape) * min(0.8, 0.95 * limit / size))


def choose_factors(
    shape: tuple[int, ...], spacing: tuple[float, ...], most: int
) -> tuple[int, int, int]:
    """How many voxels along each axis become one, the finest axes first, until so many are left.

    Example:
        >>> choose_factors((512, 512, 200), (0.8, 0.8, 2.5), 16_000_000)
        (2, 2, 1)
    """
    factors = [1, 1, 1]
    while math.prod(-(-n // f) for n, f in zip(shape, factors, strict=True)) > max(most, 1):
        # an axis that is one voxel already cannot become less
        sizes = [
            s * f if f < n else math.inf for s, f, n in zip(spacing, factors, shape, strict=True)
        ]
        finest = 1.01 * min(sizes)
        factors = [f + (size <= finest) for f, size in zip(factors, sizes, strict=True)]
    x, y, z = factors
    return x, y, z


def shrink(values: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """The mean of each block of voxels; the last ones may be smaller."""
    x, y, z = factors
    starts = range(0, values.shape[2], z)
    # a few slices at a time: they stay in the processor's cache
    blocks = (values[:, :, start : start + z].mean(axis=2, dtype=np.float32) for start in starts)
    shrunk = [_block_mean(_block_mean(block, x).T, y).T for block in blocks]
    return np.stack(shrunk, axis=2).astype(np.float32, copy=False)


def shrink_labels(labels: Bytes, factors: tuple[int, int, int]) -> Bytes:
    """The label that most voxels of each block have, if at least half of them have any."""
    if max(factors) == 1:
        return labels
    shape = [-(-n // f) for n, f in zip(labels.shape, factors, strict=True)]
    found = np.zeros(shape, np.uint8)
    most, total = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for label, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        small = tuple(
            slice(s.start // f, -(-s.stop // f)) for s, f in zip(box, factors, strict=True)
        )
        blocks = tuple(slice(s.start * f, s.stop * f) for s, f in zip(small, factors, strict=True))
        share = shrink(labels[blocks] == label, factors)
        found[small][share > most[small]] = label
        most[small] = np.maximum(most[small], share)
        total[small] += share
    found[total < 0.5] = 0
    return found


def shrink_map(stored: Bytes, factors: tuple[int, int, int]) -> Bytes:
    """The mean of what was looked at in each block, as 1 to 51; 0 where most of it was not."""
    seen = shrink(stored != UNSEEN, factors)
    values = shrink(stored, factors) / np.maximum(seen, 1e-6)  # unseen voxels add nothing
    steps = 1 + np.rint((values - 1) * MAP_SLOPE * MAP_STEPS)
    return np.where(seen >= 0.5, steps, UNSEEN).astype(np.uint8)


def hu_levels(low: float, high: float, window: tuple[float, float]) -> tuple[float, ...]:
    """The value of each of 256 bytes between two ends, finest in the middle of a window.

    Example:
        >>> levels = hu_levels(-1024, 3071, (-150, 250))
        >>> [round(levels[i + 1] - levels[i]) for i in (0, 105, 254)]
        [25, 5, 68]
    """
    middle, bend = sum(window) / 2, BEND * (window[1] - window[0])
    first, last = (math.asinh((end - middle) / bend) for end in (low, high))
    levels = middle + bend * np.sinh(np.linspace(first, last, 256))
    return tuple(round(float(level), 3) for level in levels)


def encode(values: Bytes) -> str:
    """Bytes (X, Y, Z), x fastest, each less the one in the slice below, deflated, as base64 text.

    Differences of slices take about a fifth less than the bytes themselves, where there is most to pack.
    """
    steps = np.diff(values, axis=2, prepend=np.zeros_like(values[:, :, :1]))  # modulo 256
    return b64encode(zlib.compress(steps.tobytes(order="F"), 6)).decode("ascii")


def _block_mean(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """The mean of so many rows each."""
    if factor == 1:
        return values
    means = values[::factor].copy()
    counts = np.ones((len(means), 1), np.float32)
    for first in range(1, factor):
        part = values[first::factor]
        means[: len(part)] += part
        counts[: len(part)] += 1
    means /= counts
    return means


@dataclass(frozen=True)
class _Labels:
    """A label map in closest RAS order: byte 1 is the first of `numbers`, of which there are `ml`."""

    grid: Grid
    bytes: Bytes
    numbers: list[int]
    ml: list[float]


def _view(
    record: Record,
    reference: Path | None,
    labels: _Labels,
    whole: Marked,
    factors: tuple[int, int, int],
) -> View:
    """The case at one size."""
    grid, window = labels.grid, _window(record)
    notes = [*_doubts(record)]
    levels: tuple[float, ...] = ()
    shown = shrink_labels(labels.bytes, factors)
    volumes, overlays = {"labels": encode(shown)}, []
    with _noted(notes, record.scan or record.labels, "labels alone are shown"):
        image = _read_scan(record, grid)
        levels = _levels_of(image, window)
        volumes["image"] = encode(_to_bytes(shrink(image, factors), levels))
        del image
    if reference:
        with _noted(notes, reference, "the reference is not shown"):
            expected = _read_labels(reference)
            _require_grid(expected.grid, grid)
            volumes["reference"] = encode(shrink_labels(expected.bytes, factors))
    for overlay, path in _maps(record):
        with _noted(notes, path, "it is not shown"):
            stored = _read_map(path, grid, record.digests[path.name])
            volumes[overlay.key] = encode(shrink_map(stored, factors))
            overlays.append(overlay)
    x, y, z = shown.shape
    i, j, k = (at // factor for at, factor in zip(whole.centre, factors, strict=True))
    steps = np.array(factors, float)
    return View(
        affine=whole.affine @ from_matvec(np.diag(steps), (steps - 1) / 2),
        shape=(x, y, z),
        factors=factors,
        spacing=whole.spacing,
        centre=(i, j, k),
        ranges=_ranges(whole, factors),
        window=window,
        levels=levels,
        labels=tuple(
            (label, record.named(label), label_colour(label), ml)
            for label, ml in zip(labels.numbers, labels.ml, strict=True)
        ),
        overlays=tuple(overlays),
        volumes=volumes,
        notes=tuple(notes),
    )


def _doubts(record: Record) -> Iterator[str]:
    """What is doubtful about the files beside each other."""
    if record.fault:
        yield record.fault
    digest = record.digests.get(record.labels.name)
    if digest and sha256_of(record.labels) != digest:
        yield f"{record.labels}: was changed since the run; volumes and numbers are of what the run wrote"


@contextmanager
def _noted(notes: list[str], path: Path, outcome: str) -> Iterator[None]:
    """Note what cannot be shown, and why, and go on without it."""
    try:
        yield
    except UNREADABLE as error:
        notes.append(f"{case_error(path, error)} ({outcome})")


def _read_labels(path: Path) -> _Labels:
    with noted_doubts():
        volume = read_volume(path, fill=None)
    values = to_ras(labels_of(volume), volume.affine)
    counts: dict[int, int] = {}
    for layer in np.moveaxis(
        values, -1, 0
    ):  # sorted layer by layer, where there is any: a few voxels
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


def _read_scan(record: Record, grid: Grid) -> NDArray[np.float32]:
    """The scan in closest RAS order, if it is the one that was segmented."""
    scan, settings = record.scan, record.settings
    if scan is None:
        raise ValueError(
            f"{record.labels}: nothing says which scan it was made of; segment it again"
        )
    if not scan.exists():
        raise ValueError(f"{scan}: the scan is no longer there; put it back, and report again")
    volume, series = settings.get("volume"), settings.get("series")
    digest = record.manifest.get("scan_sha256")
    if digest and scan_sha256(scan, series=series) != digest:
        raise ValueError(f"{scan}: the scan was changed since the run; segment it again")
    with noted_doubts():  # they are in the manifest
        image = read_volume(scan, volume=volume, series=series)
    _require_grid(image, grid)
    return to_ras(image.data, image.affine)


def _maps(record: Record) -> Iterator[tuple[Overlay, Path]]:
    """The maps that the run wrote beside the label map."""
    entropy = entropy_path(record.labels)
    begin = re.escape(entropy.name.rpartition("entropy")[0])
    for name in sorted(record.digests, key=lambda name: (len(name), name)):
        level = re.match(rf"{begin}attention_(\d+)\.nii", name)
        if level:
            overlay = Overlay(f"attention_{level[1]}", f"Attention, level {level[1]}", "attention")
            yield overlay, record.labels.with_name(name)
    if entropy.name in record.digests:
        yield Overlay("entropy", "Uncertainty (entropy)", "entropy"), entropy


def _read_map(path: Path, grid: Grid, digest: str) -> Bytes:
    """The stored bytes in closest RAS order, if they are those that the run wrote."""
    if not path.exists():
        raise ValueError(f"{path}: the map is no longer there; segment the scan again")
    if sha256_of(path) != digest:
        raise ValueError(f"{path}: the map was changed since the run; segment the scan again")
    image = nib.load(path)
    stored = image.dataobj.get_unscaled()
    slope, shape = image.dataobj.slope, stored.shape[:3]
    if stored.dtype != np.uint8 or not math.isclose(slope, MAP_SLOPE, rel_tol=1e-4):
        raise ValueError(f"{path}: no map of fractions as bytes; segment the scan again")
    _require_grid(Grid(shape, image.affine, 1, path), grid)
    return to_ras(stored.reshape(shape), image.affine)


def _require_grid(found: Grid, grid: Grid) -> None:
    if found.shape != grid.shape or not same_grid(grid.shape, found.affine, grid.affine):
        raise ValueError(
            f"{found.path}: lies on another grid than {grid.path}; segment the scan again"
        )


def _window(record: Record) -> tuple[float, float]:
    """The range that the bundle's network sees, or one for soft tissue."""
    ends = record.settings.get("intensity_range")
    if isinstance(ends, list) and len(ends) == 2:
        low, high = map(number, ends)
        if low is not None and high is not None and low < high:
            return low, high
    return SOFT_TISSUE


def _levels_of(image: NDArray[np.float32], window: tuple[float, float]) -> tuple[float, ...]:
    middle, reach = sum(window) / 2, REACH * (window[1] - window[0])
    low, high = max(float(image.min()), middle - reach), min(float(image.max()), middle + reach)
    return hu_levels(min(low, window[0]), max(high, window[1]), window)


def _to_bytes(image: NDArray[np.float32], levels: tuple[float, ...]) -> Bytes:
    """The byte of the level nearest to each value."""
    edges = (np.array(levels[1:], np.float32) + np.array(levels[:-1], np.float32)) / 2
    coded = np.empty(image.shape, np.uint8)
    for layer, small in zip(np.moveaxis(image, -1, 0), np.moveaxis(coded, -1, 0), strict=True):
        small[:] = np.searchsorted(edges, layer)
    return coded


def _ranges(whole: Marked, factors: tuple[int, int, int]) -> tuple[tuple[float, float], ...]:
    """The range to begin with, mm from the centre of shown voxel 0 along each axis."""
    shifts = [size * (f - 1) / 2 for size, f in zip(whole.spacing, factors, strict=True)]
    return tuple((a - by, b - by) for (a, b), by in zip(whole.fields, shifts, strict=True))
