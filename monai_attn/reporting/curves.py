"""Curves of a training as pictures: its loss, its metric, and the attention of its gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from monai_attn.io.files import atomic_write

FRACTION = (-0.02, 1.02)  # the frame does not hide a curve at 0 or 1
LOSS_COLOUR, METRIC_COLOUR = "#555555", "#00897b"


class EpochRow(Protocol):
    """Values of an epoch that are drawn."""

    @property
    def epoch(self) -> int:
        """Number of the epoch, from 1."""

    @property
    def loss(self) -> float:
        """The training loss."""

    @property
    def metric(self) -> float | None:
        """The validation metric, or None if the epoch was not validated."""


class GateRow(Protocol):
    """Values of a gate in an epoch that are drawn."""

    @property
    def epoch(self) -> int:
        """Number of the epoch, from 1."""

    @property
    def gate(self) -> int:
        """The gate's level."""

    @property
    def inside(self) -> float | None:
        """Mean of alpha inside the labels, or None if there were none."""

    @property
    def outside(self) -> float | None:
        """Mean of alpha outside the labels."""


def write_curves(epochs: Sequence[EpochRow], metric_name: str, path: str | Path) -> Path:
    """Draw the loss of each epoch, and the metric of those that were validated, as a PNG.

    Args:
        epochs: in order; at least one.
        metric_name: name of the metric.
        path: the picture to write.

    Returns:
        The path written.
    """
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    left.plot([row.epoch for row in epochs], [row.loss for row in epochs], color=LOSS_COLOUR)
    left.set_xlabel("epoch")
    left.set_ylabel("training loss", color=LOSS_COLOUR)
    left.set_ylim(bottom=0)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.spines[["top", "right"]].set_visible(False)
    validated = [(row.epoch, row.metric) for row in epochs if row.metric is not None]
    if validated:
        right = left.twinx()
        right.plot(*zip(*validated, strict=True), color=METRIC_COLOUR, marker="o", markersize=3)
        right.set_ylabel(metric_name.replace("_", " "), color=METRIC_COLOUR)
        right.set_ylim(FRACTION)
        right.spines[["top", "left"]].set_visible(False)
        best, value = max(validated, key=lambda point: point[1])
        left.set_title(f"best {value:.4f} after epoch {best}", fontsize="medium", loc="left")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
    return Path(path)


def write_gate_curves(rows: Sequence[GateRow], path: str | Path) -> Path:
    """Draw the mean of alpha inside the labels and outside them, epoch by epoch, as a PNG.

    Args:
        rows: of any number of gates, the epochs in order; at least one.
        path: the picture to write.

    Returns:
        The path written.
    """
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, gate in enumerate(sorted({row.gate for row in rows})):
        for place, style in (("inside", "-"), ("outside", ":")):
            points = [(row.epoch, getattr(row, place)) for row in rows if row.gate == gate]
            known = [point for point in points if point[1] is not None]
            if known:
                label = f"gate {gate}, {place}"
                axes.plot(*zip(*known, strict=True), style, color=f"C{number}", label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean attention of the last batch")
    axes.set_ylim(FRACTION)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
    return Path(path)
