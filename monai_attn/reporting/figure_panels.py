"""Panels of a figure: one plane of a case, with contours, marks and a scale bar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from nibabel.affines import apply_affine

from monai_attn.io.grid import voxel_ml
from monai_attn.reporting.colours import MAP_COLOURS, REFERENCE_COLOUR, label_colour
from monai_attn.reporting.planes import NEGATIVE, POSITIVE, Marked, Plane

PANEL, TEXT, MUTED = "#000000", "#f2f2f2", "#9aa0aa"
DASHES = (0, (3.5, 2.0))
ATTENTION_ALPHA = 0.6
SCALE_BARS_MM = (50, 20, 10, 5, 2, 1)


@dataclass(frozen=True)
class FigureCase:
    """The arrays of one case in closest RAS order."""

    image: np.ndarray
    labels: np.ndarray
    reference: np.ndarray | None
    affine: np.ndarray
    attention: np.ndarray | None = None

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


def draw_plane(
    axes: Axes,
    plane: Plane,
    case: FigureCase,
    window: tuple[float, float],
    *,
    attention: bool = False,
) -> None:
    """Draw one plane of a case, with contours, marks, cuts and a scale bar.

    Args:
        axes: the panel.
        plane: the plane.
        case: the case.
        window: HU drawn black and HU drawn white.
        attention: whether to lay the case's attention over the image.
    """
    axes.set_facecolor(PANEL)
    shape, spacing = case.image.shape, case.marked.spacing
    edges = [(-spacing[i] / 2, (shape[i] - 0.5) * spacing[i]) for i in (plane.across, plane.up)]
    place: dict[str, Any] = {
        "extent": (*edges[0], *edges[1]),
        "origin": "lower",
        "aspect": "auto",  # the axes box already has the shape of the field in mm
    }
    axes.imshow(
        case.slice(case.image, plane),
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        interpolation="bilinear",
        **place,
    )
    if attention and case.attention is not None:
        seen = np.ma.masked_invalid(case.slice(case.attention, plane))
        axes.imshow(
            seen,
            cmap=MAP_COLOURS["attention"],
            vmin=0,
            vmax=1,
            alpha=ATTENTION_ALPHA,
            interpolation="nearest",  # a voxel without a value has no neighbour to blend with
            gid="attention",
            **place,
        )
    labels = case.slice(case.labels, plane)
    for label in np.unique(labels[labels > 0]):
        colour = label_colour(int(label))
        _draw_contour(axes, plane, case, labels == label, colour, "solid", on_colours=attention)
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
    case: FigureCase,
    mask: np.ndarray,
    colour: str,
    style: str | tuple[int, tuple[float, float]],
    *,
    on_colours: bool = False,
) -> None:
    padded = np.pad(mask, 1).astype(np.float32)  # closes contours at the edge of the volume
    across, up = (
        np.arange(-1, size - 1) * case.marked.spacing[axis]
        for size, axis in zip(padded.T.shape, (plane.across, plane.up), strict=True)
    )
    lines = axes.contour(
        across, up, padded, levels=[0.5], colors=[colour], linewidths=1.5, linestyles=[style]
    )
    if on_colours:  # orange on yellow cannot be seen
        lines.set_path_effects([withStroke(linewidth=3.5, foreground="black")])


def _draw_cuts(axes: Axes, plane: Plane, case: FigureCase) -> None:
    """Draw ticks around the panel where the other two planes cut it."""
    axes.set_xticks(
        [case.marked.centre[plane.across] * case.marked.spacing[plane.across]], labels=[""]
    )
    axes.set_yticks([case.marked.centre[plane.up] * case.marked.spacing[plane.up]], labels=[""])
    axes.tick_params(top=True, right=True, color=MUTED, length=5, width=1)
    for spine in axes.spines.values():
        spine.set_color("#3a3f47")


def _draw_marks(axes: Axes, plane: Plane, case: FigureCase) -> None:
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
