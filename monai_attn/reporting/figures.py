"""Pictures of one case to check it by: arrays in, a figure or a PNG out.

Arrays are indexed (X, Y, Z), with an affine from voxel index to RAS mm as nibabel gives it; `planes`
says how they are shown. Matplotlib's object-oriented API is used throughout: no window, no global
state.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from monai_attn.io.files import atomic_write
from monai_attn.reporting.colours import MAP_COLOURS, REFERENCE_COLOUR, label_colour
from monai_attn.reporting.figure_panels import (
    ATTENTION_ALPHA,
    DASHES,
    MUTED,
    TEXT,
    FigureCase,
    draw_plane,
)
from monai_attn.reporting.planes import PLANES, ras_affine, tilt, to_ras

BACKGROUND = "#101216"

WIDTH = 15.0  # inches, as are the next four: around, between, above and below the panels
SIDE, GAP, HEAD, FOOT = 0.3, 0.25, 0.9, 0.45
MIN_ROW, MAX_ROW = 2.0, 7.0  # inches: room for the marks; a long, narrow scan fits a screen
DPI = 128  # 1920 pixels wide
LEGEND_ENTRIES = 4  # as many as fit in one line next to the reference
TITLE_LENGTH = 70  # characters that leave room for the volumes


def case_figure(
    image: np.ndarray,
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    title: str = "",
    reference: np.ndarray | None = None,
    names: Mapping[int, str] | None = None,
    attention: np.ndarray | None = None,
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
        attention: attention of a gate, 0 to 1 and NaN where no window ran, shape (X, Y, Z); drawn over the
            image in a second row of the same planes.
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
    _check_attention(attention, image.shape)
    case = FigureCase(
        to_ras(image, affine),
        to_ras(labels, affine),
        None if reference is None else to_ras(reference, affine),
        ras_affine(affine, image.shape),
        None if attention is None else to_ras(attention, affine),
    )
    sizes = [stop - start for start, stop in case.marked.fields]
    widths, heights = [sizes[p.across] for p in PLANES], [sizes[p.up] for p in PLANES]
    inches_per_mm = min((WIDTH - 2 * SIDE - 2 * GAP) / sum(widths), MAX_ROW / max(heights))
    row = max(MIN_ROW, max(heights) * inches_per_mm)
    rows = (False,) if attention is None else (True, False)  # the lowest row first
    height = HEAD + len(rows) * row + (len(rows) - 1) * GAP + FOOT

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    for number, is_attention in enumerate(rows):
        left, middle = SIDE, FOOT + number * (row + GAP) + row / 2
        for plane, width_mm, height_mm in zip(PLANES, widths, heights, strict=True):
            w, h = width_mm * inches_per_mm, height_mm * inches_per_mm
            box = (left / WIDTH, (middle - h / 2) / height, w / WIDTH, h / height)
            label = f"{plane.name} attention" if is_attention else plane.name
            axes = figure.add_axes(box, label=label)
            draw_plane(axes, plane, case, window, attention=is_attention)
            left += w + GAP
    _draw_title(figure, case, title)
    _draw_legend(figure, case, names or {})
    _draw_foot(figure, case, window)
    if attention is not None:
        _draw_attention_scale(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, *, description: str = "") -> Path:
    """Write a figure as PNG.

    The file appears whole or not at all; its folder is made if needed. One figure gives the same
    bytes each time: neither a date nor a software version is written.

    Args:
        figure: the figure.
        path: the file, which ends in .png.
        description: text for the file's metadata.

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
            metadata={"Software": None} | ({"Description": description} if description else {}),
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
            f"affine: shape {affine.shape}; (4, 4) expected: give the matrix from voxel indices to RAS mm"
        )
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise ValueError(
            f"affine: {affine[:3].tolist()}; a finite, invertible matrix expected: "
            "repair the header"
        )
    if not -np.inf < window[0] < window[1] < np.inf:
        raise ValueError(f"window: {window}; (low, high) in HU expected: give the lower one first")


def _check_attention(attention: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if attention is None:
        return
    if attention.shape != shape:
        raise ValueError(
            f"attention: shape {attention.shape}; the image's {shape} expected: resample to its grid"
        )
    low, high = np.nanmin(attention, initial=0.0), np.nanmax(attention, initial=0.0)
    if low < 0 or high > 1:
        raise ValueError(
            f"attention: values from {low:g} to {high:g}; 0 to 1 expected, and NaN where no window ran: "
            "replace values below 0"
        )


def _draw_title(figure: Figure, case: FigureCase, title: str) -> None:
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


def _draw_legend(figure: Figure, case: FigureCase, names: Mapping[int, str]) -> None:
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


def _draw_foot(figure: Figure, case: FigureCase, window: tuple[float, float]) -> None:
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


def _draw_attention_scale(figure: Figure) -> None:
    """Draw the colours of attention at the right of the foot."""
    height = figure.get_figheight()
    width = 1.6
    left, bottom = WIDTH - SIDE - width - 0.15, 0.17
    box = (left / WIDTH, bottom / height, width / WIDTH, 0.11 / height)
    axes = figure.add_axes(box, label="attention scale")
    axes.imshow(
        np.linspace(0, 1, 256)[None],
        cmap=MAP_COLOURS["attention"],
        alpha=ATTENTION_ALPHA,
        aspect="auto",
    )
    axes.set_axis_off()
    middle = (bottom + 0.055) / height
    for at, text, side in (
        (left - 0.08, "attention (no colour: no window ran)   0", "right"),
        (left + width + 0.08, "1", "left"),
    ):
        figure.text(at / WIDTH, middle, text, color=MUTED, size=10, ha=side, va="center")


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
