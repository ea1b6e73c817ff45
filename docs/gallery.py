"""The gallery's pictures, from real runs: what gates of each kind attend to, on one phantom.

    python docs/gallery.py WORK

WORK is the folder of `tests/benchmarks/evidence.py`; what is segmented there already is not made again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from monai_attn import DEFAULT_BUNDLE
from monai_attn.analysis.ablation import open_ablation
from monai_attn.reporting.colours import LABEL_COLOURS, REFERENCE_COLOUR
from monai_attn.reporting.planes import Marked, ras_affine, to_ras

ASSETS = Path(__file__).parent / "pages" / "assets"
NAME = "phantom_2000"
RUNS = {  # of the evidence, seed 0
    "soft": "soft_gating_grid_64_0",
    "hard, straight-through, no budget": "hard_straight-through_64_0",
    "hard, straight-through, budget 1/2": "hard_straight-through_half_64_0",
    "hard, straight-through, budget 1/4": "hard_straight-through_quarter_64_0",
    "hard, REINFORCE, budget 1/4": "hard_REINFORCE_quarter_64_0",
}
WINDOW = (-150.0, 250.0)  # HU


class Slice:
    """The axial slice with the most of the organ, and how it is drawn."""

    def __init__(self, scan: Path, reference: Path) -> None:
        self.image, self.affine = read(scan)
        self.reference, _ = read(reference)
        marked = Marked(self.reference > 0, self.affine)
        self.at = marked.centre[2]
        self.aspect = marked.spacing[1] / marked.spacing[0]
        rows, columns = np.nonzero(self._of(self.image) > WINDOW[0])  # the table too
        self.body = columns.min(), columns.max(), rows.min(), rows.max()

    def draw(self, axes: Axes, title: str) -> None:
        """The scan, patient's right at the left, with the reference dashed."""
        axes.set_title(title, fontsize="small", loc="left")
        low, high = WINDOW
        axes.imshow(self._of(self.image), cmap="gray", vmin=low, vmax=high, **self._as())
        dashed = {"linestyles": "--", "linewidths": 0.9, "colors": REFERENCE_COLOUR}
        axes.contour(self._of(self.reference), [0.5], **dashed)
        right, left, back, front = self.body
        axes.set(xlim=(left, right), ylim=(back, front))
        axes.set_axis_off()

    def draw_labels(self, axes: Axes, labels: np.ndarray) -> None:
        """The outline of labels; where there are none, nothing."""
        found = self._of(labels)
        if found.any():
            axes.contour(found, [0.5], colors=LABEL_COLOURS[0], linewidths=1.1)

    def draw_map(self, axes: Axes, attention: np.ndarray):
        """Attention from 0 to 1; what was not looked at stays grey."""
        seen = np.ma.masked_less(self._of(attention), 0)
        limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
        colours = axes.imshow(seen, cmap="viridis", vmin=0, vmax=1, alpha=0.65, **self._as())
        axes.set(**limits)  # which a second image undoes
        return colours

    def _of(self, volume: np.ndarray) -> np.ndarray:
        return volume[:, :, self.at].T

    def _as(self) -> dict[str, object]:
        return {"origin": "lower", "aspect": self.aspect, "interpolation": "nearest"}


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A volume and its affine in closest RAS order."""
    image = nib.load(path)
    volume = np.asarray(image.dataobj, dtype=np.float32)
    return to_ras(volume, image.affine), ras_affine(image.affine, volume.shape)


def segmented(work: Path, bundle: str | Path, name: str) -> Path:
    """The folder with labels and maps of the phantom by a bundle."""
    out = work / "gallery" / name
    scan = work / "test" / "imagesTr" / f"{NAME}.nii.gz"
    words = ["segment", scan, "-o", out, "--bundle", bundle, "--mode", "full", "--resume"]
    line = [sys.executable, "-m", "monai_attn", *map(str, words), "--attention"]
    subprocess.run(line, check=True, capture_output=True)
    return out


def levels(out: Path) -> dict[int, np.ndarray]:
    """The attention of each level, -1/254 where nothing was looked at."""
    paths = sorted(out.glob(f"{NAME}_attention_*.nii.gz"))
    return {int(path.name[-8]): read(path)[0] for path in paths}


def finish(figure: Figure, colours: object, axes: list[Axes], name: str, label: str) -> None:
    """Add the legend and write the picture."""
    bar = figure.colorbar(colours, ax=axes, fraction=0.02, pad=0.01)
    bar.set_label(label)
    figure.savefig(ASSETS / name)


def panels(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """A figure of so many panels."""
    figure = Figure(figsize=(3.1 * columns + 0.6, 2.35 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def soft_levels(work: Path, view: Slice) -> None:
    """The shipped bundle: labels, and each gate."""
    out = segmented(work, DEFAULT_BUNDLE, "shipped")
    figure, axes = panels(2, 2)
    shown = [("labels, and the reference dashed", None)]
    shown += [(f"attention, level {level}", values) for level, values in levels(out).items()]
    for place, (title, values) in zip(axes.flat, shown, strict=True):
        view.draw(place, title)
        if values is None:
            view.draw_labels(place, read(out / f"{NAME}_seg.nii.gz")[0])
        else:
            colours = view.draw_map(place, values)
    finish(figure, colours, list(axes.flat), "attention_levels.png", "attention")


def soft_and_hard(work: Path, view: Slice) -> None:
    """Gates of each kind, trained alike, at the two levels that they have."""
    figure, axes = panels(len(RUNS), 3)
    for row, (title, run) in zip(axes, RUNS.items(), strict=True):
        out = segmented(work, work / "runs" / run, run)
        view.draw(row[0], f"{title}: labels")
        view.draw_labels(row[0], read(out / f"{NAME}_seg.nii.gz")[0])
        for place, (level, values) in zip(row[1:], levels(out).items(), strict=True):
            view.draw(place, f"attention, level {level}")
            colours = view.draw_map(place, values)
    finish(figure, colours, list(axes.flat), "soft_and_hard.png", "attention")


def held_open(work: Path, view: Slice) -> None:
    """What becomes of the labels when a gate of the shipped bundle decides nothing."""
    scan = work / "test" / "imagesTr" / f"{NAME}.nii.gz"
    ablation = open_ablation(DEFAULT_BUNDLE, mode="full")
    bundles = {"as it is": ablation.plain}
    bundles |= {f"gate {name} held open": opened for name, opened in ablation.opened.items()}
    del bundles["gate all held open"]
    figure, axes = panels(1, len(bundles))
    for place, (title, bundle) in zip(axes.flat, bundles.items(), strict=True):
        view.draw(place, title)
        made = bundle.segmenter(scan)
        view.draw_labels(place, to_ras(made.labels, made.scan.affine))
    figure.savefig(ASSETS / "held_open.png")


def main() -> None:
    """Draw all of them."""
    work = Path(sys.argv[1])
    scan, reference = (work / "test" / part / f"{NAME}.nii.gz" for part in ("imagesTr", "labelsTr"))
    view = Slice(scan, reference)
    soft_levels(work, view)
    held_open(work, view)
    soft_and_hard(work, view)


if __name__ == "__main__":
    main()
