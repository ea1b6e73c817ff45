"""Pictures of one case to check it by: arrays in, a figure or a PNG out.

Arrays are indexed (X, Y, Z), with an affine from voxel index to RAS mm as nibabel gives it; `planes`
says how they are shown. Matplotlib's object-oriented API is used throughout: no window, no global
state.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from nibabel.affines import apply_affine

from monai_attn.io.files import atomic_write
from monai_attn.io.grid import voxel_ml
from monai_attn.reporting.planes import (
    NEGATIVE,
    PLANES,
    POSITIVE,
    REFERENCE_COLOUR,
    Marked,
    Plane,
    label_colour,
    ras_affine,
    tilt,
    to_ras,
)

BACKGROUND, PANEL, TEXT, MUTED = "#101216", "#000000", "#f2f2f2", "#9aa0aa"
DASHES = (0, (3.5, 2.0))

WIDTH = 15.0  # inches, as are the next four: around, between, above and below the panels
SIDE, GAP, HEAD, FOOT = 0.3, 0.25, 0.9, 0.45
MIN_ROW, MAX_ROW = 2.0, 7.0  # inches: room for the marks; a long, narrow scan fits a screen
DPI = 128  # 1920 pixels wide
LEGEND_ENTRIES = 4  # as many as fit in one line next to the reference
TITLE_LENGTH = 70  # characters that leave room for the volumes
SCALE_BARS_MM = (50, 20, 10, 5, 2, 1)


@dataclass(frozen=True)
class Case:
    """The arrays of one case in closest RAS order."""

    image: np.ndarray
    labels: np.ndarray
    reference: np.ndarray | None
    affine: np.ndarray

    @cached_property
    def marked(self) -> Marked:
        """Voxels that the planes go through: the labels, or else the reference."""
        mask = self.labels > 0
        if self.reference is not None and not mask.any():
            mask = self.reference > 0
        return Marked(mask, self.affine)

    def slice(self, array: np.ndarray, plane: Plane) -> np.ndarray:
        """Return the voxels of the plane, shape (up, across)."""
        section: np.ndarray = array.take(self.marked.centre[plane.through], axis=plane.through).T
        return section

    def millilitres(self, voxels: int) -> float:
        """Return the volume of a number of voxels, ml."""
        return voxels * voxel_ml(self.affine)


def case_figure(
    image: np.ndarray,
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    title: str = "",
    reference: np.ndarray | None = None,
    names: Mapping[int, str] | None = None,
    window: tuple[float, float] = (-150.0, 250.0),
) -> Figure:
    """Draw a CT with its labels in three planes at one scale, to check a segmentation by.

    The axial plane is the slice with the largest labelled area; the others go through the middle
    of the labels. Without labels the reference takes their place; without either, the planes meet
    in the middle of the volume. Ticks around a panel show where the other two planes cut it.

    Args:
        image: HU, shape (X, Y, Z).
        labels: integers, shape (X, Y, Z); drawn as solid contours, a colour per label.
        affine: voxel index to RAS mm of all arrays, shape (4, 4).
        title: text at the top, such as the case name.
        reference: integers, shape (X, Y, Z); drawn as dashed contours in one colour.
        names: name of each label; "label 1" by default.
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
    case = Case(
        to_ras(image, affine),
        to_ras(labels, affine),
        None if reference is None else to_ras(reference, affine),
        ras_affine(affine, image.shape),
    )
    sizes = [stop - start for start, stop in case.marked.fields]
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
    _draw_legend(figure, case, names or {})
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
    with atomic_write(path) as file:
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


def _draw_plane(axes: Axes, plane: Plane, case: Case, window: tuple[float, float]) -> None:
    axes.set_facecolor(PANEL)
    shape, spacing = case.image.shape, case.marked.spacing
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
        _draw_contour(axes, plane, case, labels == label, label_colour(int(label)), "solid")
    if case.reference is not None:
        reference = case.slice(case.reference, plane)
        for label in np.unique(reference[reference > 0]):
            _draw_contour(axes, plane, case, reference == label, REFERENCE_COLOUR, DASHES)

    start, stop = case.marked.fields[plane.across]
    axes.set_xlim(stop, start)
    axes.set_ylim(*case.marked.fields[plane.up])
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
        np.arange(-1, size - 1) * case.marked.spacing[axis]
        for size, axis in zip(padded.T.shape, (plane.across, plane.up), strict=True)
    )
    axes.contour(
        across, up, padded, levels=[0.5], colors=[colour], linewidths=1.5, linestyles=[style]
    )


def _draw_cuts(axes: Axes, plane: Plane, case: Case) -> None:
    """Draw ticks around the panel where the other two planes cut it."""
    axes.set_xticks(
        [case.marked.centre[plane.across] * case.marked.spacing[plane.across]], labels=[""]
    )
    axes.set_yticks([case.marked.centre[plane.up] * case.marked.spacing[plane.up]], labels=[""])
    axes.tick_params(top=True, right=True, color=MUTED, length=5, width=1)
    for spine in axes.spines.values():
        spine.set_color("#3a3f47")


def _draw_marks(axes: Axes, plane: Plane, case: Case) -> None:
    marks = (
        (0.012, 0.5, "left", "center"),
        (0.988, 0.5, "right", "center"),
        (0.5, 0.985, "center", "top"),
        (0.5, 0.015, "center", "bottom"),
    )
    for (x, y, horizontal, vertical), letter in zip(marks, plane.letters, strict=True):
        _write(axes, x, y, letter, size=13, weight="bold", ha=horizontal, va=vertical)
    position = apply_affine(case.affine, case.marked.centre)[plane.through]
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


def _draw_legend(figure: Figure, case: Case, names: Mapping[int, str]) -> None:
    counts = _counts(case.labels)
    largest = sorted(counts, key=lambda label: -counts[label])[:LEGEND_ENTRIES]
    handles = [
        Line2D(
            [],
            [],
            color=label_colour(label),
            linewidth=2.5,
            label=f"{names.get(label, f'label {label}')}: {case.millilitres(counts[label]):.1f} ml",
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
    size = " \u00d7 ".join(f"{size:.2f}" for size in case.marked.spacing)
    parts = [f"W {high - low:g}  L {(low + high) / 2:g} HU", f"voxels {size} mm"]
    degrees = tilt(case.affine)
    if degrees >= 1:
        parts.append(f"planes along the scan's own axes, up to {degrees:.0f}\u00b0 oblique")
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
