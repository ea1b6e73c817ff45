"""Pictures of one case to check it by: arrays in, a figure or a PNG out.

Arrays are indexed (X, Y, Z), with an affine from voxel index to RAS mm as nibabel gives it. Every
grid is first flipped and permuted to its closest RAS order, so that a picture depends on the
patient and not on how the file was stored.

Panels follow the radiological convention: the patient's right at the left of the axial and the
coronal plane, anterior at the left of the sagittal plane, anterior or superior up. Matplotlib's
object-oriented API is used throughout: no window, no global state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from nibabel.affines import apply_affine, obliquity, voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

from monai_attn.data.files import written_whole

# after Okabe and Ito, told apart by colour-blind readers; their sky blue is the reference's
LABEL_COLOURS = ("#ffa51f", "#12c48b", "#f0e442", "#f07ab8", "#ff6a3d", "#b79bff")
REFERENCE_COLOUR = "#56c8ff"
BACKGROUND, PANEL, TEXT, MUTED = "#101216", "#000000", "#f2f2f2", "#9aa0aa"
DASHES = (0, (3.5, 2.0))

WIDTH = 15.0  # inches, as are the next four: around, between, above and below the panels
SIDE, GAP, HEAD, FOOT = 0.3, 0.25, 0.9, 0.45
MIN_ROW, MAX_ROW = 2.0, 7.0  # inches: room for the marks; a long, narrow scan fits a screen
DPI = 128  # 1920 pixels wide
FIELD_MM = 280.0  # most of an abdomen; larger scans are cut to this: a pancreas stays large
MARGIN_MM = 20.0  # of context around labels that exceed the field
LEGEND_ENTRIES = 4  # what fits in one line beside the reference
TITLE_LENGTH = 70  # characters that leave room for the volumes
SCALE_BARS_MM = (50, 20, 10, 5, 2, 1)
POSITIVE, NEGATIVE = "RAS", "LPI"  # the direction letters of the axes 0, 1, 2


@dataclass(frozen=True)
class Plane:
    """A plane perpendicular to the axis `through`; `across` runs leftwards, `up` upwards."""

    name: str
    through: int
    across: int
    up: int


PLANES = (Plane("axial", 2, 0, 1), Plane("coronal", 1, 0, 2), Plane("sagittal", 0, 1, 2))


@dataclass(frozen=True)
class Case:
    """The arrays of one case in closest RAS order."""

    image: np.ndarray
    labels: np.ndarray
    reference: np.ndarray | None
    affine: np.ndarray

    @cached_property
    def spacing(self) -> list[float]:
        """Voxel size along each axis, mm."""
        return [float(size) for size in voxel_sizes(self.affine)]

    @cached_property
    def marked(self) -> np.ndarray:
        """Mask of what the planes go through: the labels, or else the reference."""
        mask: np.ndarray = self.labels > 0
        return mask if self.reference is None or mask.any() else self.reference > 0

    @cached_property
    def centre(self) -> tuple[int, int, int]:
        """Voxel that the three planes meet in."""
        areas = [self._areas(axis) for axis in range(3)]
        if not areas[2].any():
            x, y, z = (size // 2 for size in self.image.shape)
            return x, y, z
        return _middle(areas[0]), _middle(areas[1]), int(np.argmax(areas[2]))

    @cached_property
    def fields(self) -> list[tuple[float, float]]:
        """Range drawn along each axis, mm from the centre of voxel 0."""
        return [self._field(axis) for axis in range(3)]

    def slice(self, array: np.ndarray, plane: Plane) -> np.ndarray:
        """Voxels of the plane, shape (up, across)."""
        section: np.ndarray = array.take(self.centre[plane.through], axis=plane.through).T
        return section

    def millilitres(self, voxels: int) -> float:
        """Volume of so many voxels; the determinant holds for sheared grids too."""
        return float(voxels * abs(np.linalg.det(self.affine[:3, :3])) / 1000)

    def _areas(self, axis: int) -> np.ndarray:
        others = tuple(other for other in range(3) if other != axis)
        areas: np.ndarray = self.marked.sum(axis=others)
        return areas

    def _field(self, axis: int) -> tuple[float, float]:
        size = self.spacing[axis]
        low, high = -size / 2, (self.image.shape[axis] - 0.5) * size
        width = min(FIELD_MM, high - low)
        start = min(max(self.centre[axis] * size - width / 2, low), high - width)
        stop = start + width
        for end in np.flatnonzero(self._areas(axis))[[0, -1]] if self.marked.any() else ():
            start = min(start, max(low, end * size - MARGIN_MM))
            stop = max(stop, min(high, end * size + MARGIN_MM))
        return start, stop


def case_figure(
    image: np.ndarray,
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    title: str = "",
    reference: np.ndarray | None = None,
    window: tuple[float, float] = (-150.0, 250.0),
) -> Figure:
    """Draw a CT with its labels in three planes at one scale, to check a segmentation by.

    The axial plane is the slice with the largest labelled area; the others go through the centre
    of the labels. Without labels the reference takes their place; without either, the planes meet
    in the middle of the volume. Ticks around a panel show where the other two planes cut it.

    Args:
        image: HU, shape (X, Y, Z).
        labels: integers, shape (X, Y, Z); drawn as solid contours, a colour per label.
        affine: voxel index to RAS mm of all arrays, shape (4, 4).
        title: such as the case name.
        reference: integers, shape (X, Y, Z); drawn as dashed contours in one colour.
        window: HU drawn black and HU drawn white.

    Returns:
        The figure, 15 inches wide, with an Agg canvas.

    Raises:
        ValueError: if shapes differ or are not 3D, labels are not integers, or the affine or the
            window is unusable.

    Example:
        >>> figure = case_figure(scan, labels, affine, title="case 7")  # doctest: +SKIP
        >>> save_figure(figure, "case_7.png")  # doctest: +SKIP
    """
    _check_inputs(image, labels, affine, reference, window)
    case = _to_ras(image, labels, affine, reference)
    sizes = [stop - start for start, stop in case.fields]
    widths, heights = [sizes[p.across] for p in PLANES], [sizes[p.up] for p in PLANES]
    inches_per_mm = min((WIDTH - 2 * SIDE - 2 * GAP) / sum(widths), MAX_ROW / max(heights))
    row = max(MIN_ROW, max(heights) * inches_per_mm)
    height = HEAD + row + FOOT

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    left = SIDE
    for plane, width_mm, height_mm in zip(PLANES, widths, heights, strict=True):
        w, h = width_mm * inches_per_mm, height_mm * inches_per_mm
        bottom = FOOT + (row - h) / 2
        box = (left / WIDTH, bottom / height, w / WIDTH, h / height)
        _draw_plane(figure.add_axes(box, label=plane.name), plane, case, window)
        left += w + GAP
    _draw_title(figure, case, title)
    _draw_legend(figure, case)
    _draw_foot(figure, case, window)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG.

    The file appears whole or not at all; its folder is made if needed. One figure gives the same
    bytes each time: neither a date nor a software version is written.

    Returns:
        The path written.

    Raises:
        ValueError: if the file name does not end in .png.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: suffix '{path.suffix}'; '.png' expected: rename the file")
    with written_whole(path) as file:
        figure.savefig(
            file,
            format="png",
            dpi="figure",
            facecolor=figure.get_facecolor(),
            metadata={"Software": None},
        )
    return path


def _check_inputs(
    image: np.ndarray,
    labels: np.ndarray,
    affine: np.ndarray,
    reference: np.ndarray | None,
    window: tuple[float, float],
) -> None:
    if image.ndim != 3 or image.size == 0:
        raise ValueError(f"image: shape {image.shape}; (X, Y, Z) expected: pick one volume")
    if image.dtype.kind not in "biuf":
        raise ValueError(
            f"image: dtype {image.dtype}; real numbers in HU expected: pick one channel"
        )
    for name, array in (("labels", labels), ("reference", reference)):
        if array is None:
            continue
        if array.shape != image.shape:
            raise ValueError(
                f"{name}: shape {array.shape}; the image's {image.shape} expected: "
                "resample to its grid"
            )
        if array.dtype.kind not in "iub":
            raise ValueError(f"{name}: dtype {array.dtype}; integers expected: cast first")
    if affine.shape != (4, 4):
        raise ValueError(
            f"affine: shape {affine.shape}; (4, 4) expected: give voxel index to RAS mm"
        )
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise ValueError(
            f"affine: {affine[:3].tolist()}; a finite, invertible matrix expected: "
            "repair the header"
        )
    if not -np.inf < window[0] < window[1] < np.inf:
        raise ValueError(f"window: {window}; (low, high) in HU expected: give the lower one first")


def _to_ras(
    image: np.ndarray, labels: np.ndarray, affine: np.ndarray, reference: np.ndarray | None
) -> Case:
    orientation = io_orientation(affine)
    return Case(
        image=apply_orientation(image, orientation),
        labels=apply_orientation(labels, orientation),
        reference=None if reference is None else apply_orientation(reference, orientation),
        affine=affine @ inv_ornt_aff(orientation, image.shape),
    )


def _middle(areas: np.ndarray) -> int:
    """Index of the labelled slice nearest to the centre of mass, which may fall in a gap."""
    labelled = np.flatnonzero(areas)
    centre = np.average(np.arange(len(areas)), weights=areas)
    return int(labelled[np.argmin(np.abs(labelled - centre))])


def _draw_plane(axes: Axes, plane: Plane, case: Case, window: tuple[float, float]) -> None:
    axes.set_facecolor(PANEL)
    shape, spacing = case.image.shape, case.spacing
    edges = [(-spacing[i] / 2, (shape[i] - 0.5) * spacing[i]) for i in (plane.across, plane.up)]
    axes.imshow(
        case.slice(case.image, plane),
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        extent=(*edges[0], *edges[1]),
        origin="lower",
        interpolation="bilinear",
        aspect="auto",  # the axes box already has the shape of the field in mm
    )
    labels = case.slice(case.labels, plane)
    for label in np.unique(labels[labels > 0]):
        _draw_contour(axes, plane, case, labels == label, _colour(int(label)), "solid")
    if case.reference is not None:
        reference = case.slice(case.reference, plane)
        for label in np.unique(reference[reference > 0]):
            _draw_contour(axes, plane, case, reference == label, REFERENCE_COLOUR, DASHES)

    start, stop = case.fields[plane.across]
    axes.set_xlim(stop, start)
    axes.set_ylim(*case.fields[plane.up])
    _draw_cuts(axes, plane, case)
    _draw_marks(axes, plane, case)
    _draw_scale_bar(axes, stop - start)


def _draw_contour(
    axes: Axes,
    plane: Plane,
    case: Case,
    mask: np.ndarray,
    colour: str,
    style: str | tuple[int, tuple[float, float]],
) -> None:
    padded = np.pad(mask, 1).astype(np.float32)  # closes contours at the edge of the volume
    across, up = (
        np.arange(-1, size - 1) * case.spacing[axis]
        for size, axis in zip(padded.T.shape, (plane.across, plane.up), strict=True)
    )
    axes.contour(
        across, up, padded, levels=[0.5], colors=[colour], linewidths=1.5, linestyles=[style]
    )


def _draw_cuts(axes: Axes, plane: Plane, case: Case) -> None:
    """Ticks around the panel where the other two planes cut it."""
    axes.set_xticks([case.centre[plane.across] * case.spacing[plane.across]], labels=[""])
    axes.set_yticks([case.centre[plane.up] * case.spacing[plane.up]], labels=[""])
    axes.tick_params(top=True, right=True, color=MUTED, length=5, width=1)
    for spine in axes.spines.values():
        spine.set_color("#3a3f47")


def _draw_marks(axes: Axes, plane: Plane, case: Case) -> None:
    marks = (
        (0.012, 0.5, POSITIVE[plane.across], "left", "center"),
        (0.988, 0.5, NEGATIVE[plane.across], "right", "center"),
        (0.5, 0.985, POSITIVE[plane.up], "center", "top"),
        (0.5, 0.015, NEGATIVE[plane.up], "center", "bottom"),
    )
    for x, y, letter, horizontal, vertical in marks:
        _write(axes, x, y, letter, size=13, weight="bold", ha=horizontal, va=vertical)
    position = apply_affine(case.affine, case.centre)[plane.through]
    letter = (POSITIVE if position >= 0 else NEGATIVE)[plane.through]
    caption = f"{plane.name}  {letter} {abs(position):.0f} mm"
    _write(axes, 0.012, 0.985, caption, size=11, ha="left", va="top")


def _draw_scale_bar(axes: Axes, width_mm: float) -> None:
    length = next((bar for bar in SCALE_BARS_MM if bar <= width_mm / 2), None)
    if length is None:
        return
    start, stop = 0.985 - length / width_mm, 0.985
    axes.plot(
        [start, stop],
        [0.02, 0.02],
        transform=axes.transAxes,
        color=TEXT,
        linewidth=2.5,
        solid_capstyle="butt",
        path_effects=[withStroke(linewidth=4.5, foreground="black")],
        gid="scale bar",
    )
    _write(axes, (start + stop) / 2, 0.03, f"{length} mm", size=10, ha="center", va="bottom")


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write inside a panel, legible on bone and on air."""
    outline = [withStroke(linewidth=3, foreground="black")]
    axes.text(x, y, text, transform=axes.transAxes, color=TEXT, path_effects=outline, **style)


def _draw_title(figure: Figure, case: Case, title: str) -> None:
    counts = _counts(case.labels)
    volume = f"{case.millilitres(sum(counts.values())):.1f} ml" if counts else "no label"
    parts = [_shorten(title), f"{len(counts)} labels, {volume}" if len(counts) > 1 else volume]
    if case.reference is not None:
        parts.append(f"reference {case.millilitres(int((case.reference > 0).sum())):.1f} ml")
    figure.text(
        SIDE / WIDTH,
        1 - 0.18 / figure.get_figheight(),
        "   \u00b7   ".join(part for part in parts if part),
        color=TEXT,
        size=16,
        weight="bold",
        ha="left",
        va="top",
        parse_math=False,  # a file name may hold dollar signs
    )


def _draw_legend(figure: Figure, case: Case) -> None:
    counts = _counts(case.labels)
    largest = sorted(counts, key=lambda label: -counts[label])[:LEGEND_ENTRIES]
    handles = [
        Line2D(
            [],
            [],
            color=_colour(label),
            linewidth=2.5,
            label=f"label {label}: {case.millilitres(counts[label]):.1f} ml",
        )
        for label in sorted(largest)
    ]
    if len(counts) > len(largest):
        more = f"and {len(counts) - len(largest)} smaller"
        handles.append(Line2D([], [], linestyle="none", label=more))
    if case.reference is not None:
        handles.append(
            Line2D(
                [], [], color=REFERENCE_COLOUR, linewidth=2.5, linestyle=DASHES, label="reference"
            )
        )
    if handles:
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(SIDE / WIDTH, 1 - 0.48 / figure.get_figheight()),
            borderaxespad=0,
            borderpad=0.2,
            ncols=len(handles),
            frameon=False,
            labelcolor=TEXT,
            fontsize=11,
        )


def _draw_foot(figure: Figure, case: Case, window: tuple[float, float]) -> None:
    low, high = window
    size = " \u00d7 ".join(f"{size:.2f}" for size in case.spacing)
    parts = [f"W {high - low:g}  L {(low + high) / 2:g} HU", f"voxels {size} mm"]
    tilt = float(np.degrees(obliquity(case.affine).max()))
    if tilt >= 1:
        parts.append(f"planes along the scan's own axes, up to {tilt:.0f}\u00b0 oblique")
    parts.append("axial and coronal: the patient's right at the left")
    figure.text(
        SIDE / WIDTH,
        0.14 / figure.get_figheight(),
        "   \u00b7   ".join(parts),
        color=MUTED,
        size=10,
        ha="left",
        va="bottom",
    )


def _shorten(title: str) -> str:
    """Cut the middle out of a long title: file names differ at their ends."""
    title = " ".join(title.split())
    if len(title) <= TITLE_LENGTH:
        return title
    half = TITLE_LENGTH // 2
    return f"{title[: half - 1]}\u2026{title[-half:]}"


def _counts(labels: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _colour(label: int) -> str:
    """One label has one colour in every picture."""
    return LABEL_COLOURS[(label - 1) % len(LABEL_COLOURS)]
