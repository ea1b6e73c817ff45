"""Time that a report takes to show a large scan in headless chromium, and to turn its slices.

python -m tests.benchmarks.report_page [X Y Z]      512 x 512 x 300 voxels without a size

The page is opened from disk with the coarse grid that fits into it, and then at full resolution. A turn of a
slice redraws all three planes, with contours, a dashed reference and differences.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table
from scipy.ndimage import zoom

from monai_attn.reporting.page import References, write_report
from tests.benchmarks.process import machine
from tests.run_folders import write_case, write_rows

SPACING = (0.8, 0.8, 1.0)  # mm
TURNS = 100
PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}

# one slice in each frame: milliseconds of a frame, and of the script in it
TURN = """async ([axis, turns]) => {
  const viewer = [...VIEWERS.values()][0];
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  viewer.camera.at[axis] = Math.floor(viewer.view.shape[axis] / 4);
  viewer.drawNow();
  await frame();
  const script = [], start = performance.now();
  for (let n = 0; n < turns; n += 1) {
    const before = performance.now();
    viewer.move(axis, n < turns / 2 ? 1 : -1);
    viewer.drawNow();
    script.push(performance.now() - before);
    await frame();
  }
  const whole = performance.now() - start;
  return [whole / turns, script.sort((a, b) => a - b)[turns / 2]];
}"""
SHOWN = """() => VIEWERS.size && ![...VIEWERS.values()][0].volumes.busy
    && new Promise((go) => requestAnimationFrame(() => go(performance.now())))"""


def large_case(folder, shape):
    """The folder of a run with one body of soft organs and noise, its labels and a reference."""
    rng = np.random.default_rng(0)
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    coarse = rng.normal(60, 60, tuple(max(2, n // 24) for n in shape))
    image = zoom(coarse, [n / m for n, m in zip(shape, coarse.shape, strict=True)], order=1)
    image = image.astype(np.float32) + rng.normal(0, 20, shape).astype(np.float32)
    image[axes[0] ** 2 / 0.8 + axes[1] ** 2 / 0.5 + 0 * axes[2] > 1] = -1000

    def organ(shift):
        return sum(((a - b) / 0.25) ** 2 for a, b in zip(axes, shift, strict=True)) < 1

    affine = np.diag([*SPACING, 1.0])
    out = Path(folder, "out")
    labels = organ((0.1, 0.1, 0)).astype(np.uint8)
    write_rows(out, write_case(out, "large", np.rint(image), labels, affine))
    reference = Path(folder, "reference.nii.gz")
    expected = organ((0.12, 0.08, 0.02)).astype(np.uint8)
    nib.Nifti1Image(expected, affine).to_filename(reference)
    return out, reference


def figures(page, side):
    """Yield the grid, its MB, the seconds to the first picture, and the ms of a slice of each plane."""
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))))
    viewer = "[...VIEWERS.values()][0]"
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=found, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.goto(page.as_uri())
        seconds = opened.wait_for_function(SHOWN).json_value() / 1000
        for grid, file in (("in the page", page), ("full resolution", side)):
            if file is None:
                continue
            if grid == "full resolution":
                start = opened.evaluate("performance.now()")
                opened.evaluate(f"void {viewer}.fullResolution.toggle()")
                opened.wait_for_selector("[data-full][aria-pressed=true]", timeout=120_000)
                shown = opened.wait_for_function(SHOWN, timeout=120_000).json_value()
                seconds = (shown - start) / 1000
            size = " x ".join(map(str, opened.evaluate(f"{viewer}.view.shape")))
            turns = {plane: opened.evaluate(TURN, [axis, TURNS]) for plane, axis in PLANES.items()}
            yield f"{size}, {grid}", file.stat().st_size / 1e6, seconds, turns
        browser.close()


def main():
    shape = tuple(map(int, sys.argv[1:4])) or (512, 512, 300)
    columns = ("grid", "MB", "s to the first picture", "plane", "ms a slice", "of which script")
    table = Table(*columns)
    with tempfile.TemporaryDirectory() as folder:
        out, reference = large_case(folder, shape)
        page = write_report(out, references=References(files={"large_seg.nii.gz": reference}))
        side = next(out.glob("report_files/*.js"), None)
        for grid, size, seconds, turns in figures(page, side):
            for plane, (frame, script) in turns.items():
                numbers = (f"{frame:.1f}", f"{script:.1f}")
                table.add_row(grid, f"{size:.1f}", f"{seconds:.2f}", plane, *numbers)
    console = Console(width=120)
    console.print(table)
    console.print(machine())


if __name__ == "__main__":
    main()
