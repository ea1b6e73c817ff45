"""The figure and the table of `growth`: time and memory, each against a straight line.

python -m tests.benchmarks.growth_plot WORK/growth.json [PICTURE]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PICTURE = Path(__file__).parents[2] / "docs" / "pages" / "assets" / "growth.png"
NAMES = {"slices": "slices", "classes": "classes", "scans": "scans in one folder"}
COLOURS = {"full": "#0072b2", "focus": "#d55e00"}  # apart for colour-blind readers too
Runs = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Line:
    """A straight line through points.

    Attributes:
        start: its value at 0.
        slope: what one more adds.
        deviation: largest distance of a point from the line, as a share of the line's value there.
    """

    start: float
    slope: float
    deviation: float

    def at(self, counts: Sequence[float]) -> Any:
        """Return the values of the line."""
        return self.start + self.slope * np.asarray(counts, dtype=float)


def fit_line(counts: Sequence[float], values: Sequence[float]) -> Line:
    """Fit a line to points so that no small one is lost among large ones: shares of the values count.

    Example:
        >>> fit_line([1, 2, 3], [3, 5, 7])
        Line(start=1.0, slope=2.0, deviation=0.0)
    """
    slope, start = np.polyfit(counts, values, 1, w=1 / np.asarray(values, dtype=float))
    line = Line(round(float(start), 9), round(float(slope), 9), 0.0)
    found = line.at(counts)
    deviation = float(np.abs(np.asarray(values) / found - 1).max())
    return Line(line.start, line.slope, round(deviation, 6))


def medians(curve: Mapping[str, Runs], key: str) -> tuple[list[int], list[float]]:
    """Return the points of a curve: the counts, and the median of a measure at each."""
    counts = sorted(map(int, curve))
    return counts, [median(run[key] for run in curve[str(count)]) for count in counts]


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Write the picture: seconds in the upper row, memory in the lower, a column for each growth."""
    names = [name for name in NAMES if name in figures]
    figure = Figure(figsize=(4 * len(names), 6), layout="constrained")
    panels = figure.subplots(2, len(names), squeeze=False, sharex="col")
    for column, name in enumerate(names):
        times, sizes = panels[:, column]
        for mode, curve in figures[name].items():
            _draw_points(times, *medians(curve, "processor"), COLOURS[mode], mode, "s")
            _draw_points(sizes, *medians(curve, "mib"), COLOURS[mode], mode, "MiB")
        sizes.set_xlabel(NAMES[name])
    for axes in panels.flat:
        axes.set_ylim(0, 1.3 * axes.dataLim.ymax)  # room for the legend
        axes.set_xlim(0, 1.05 * axes.dataLim.xmax)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="upper left")
    panels[0, 0].set_ylabel("processor time, s")
    panels[1, 0].set_ylabel("peak memory, MiB")
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_points(
    axes: Axes,
    counts: Sequence[float],
    values: Sequence[float],
    colour: str,
    mode: str,
    unit: str,
) -> None:
    line = fit_line(counts, values)
    slope = f"{line.slope:.2g} {unit} each, off by {line.deviation:.0%}"
    axes.plot(counts, values, "o", color=colour, label=f"{mode}: {slope}")
    ends = (0, counts[-1])
    axes.plot(ends, line.at(ends), color=colour, linewidth=1)


def table(figures: Mapping[str, Any]) -> str:
    """Return the figures as a table in Markdown, with the lines."""
    rows = ["| | mode | processor, s | line | off by | peak, MiB |", "|---|---|---|---|---|---|"]
    for name in NAMES:
        for mode, curve in figures.get(name, {}).items():
            counts, seconds = medians(curve, "processor")
            _, mib = medians(curve, "mib")
            line = fit_line(counts, seconds)
            cells = [
                ", ".join(map(str, counts)) + " " + NAMES[name],
                mode,
                ", ".join(f"{value:.1f}" for value in seconds),
                f"{line.start:.1f} + {line.slope:.3g} n",
                f"{line.deviation:.0%}",
                ", ".join(f"{value:.0f}" for value in mib),
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Draw the picture, and print the table."""
    figures = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    draw(figures, Path(sys.argv[2]) if len(sys.argv) > 2 else PICTURE)
    print(table(figures))
    print(figures["machine"])


if __name__ == "__main__":
    main()
