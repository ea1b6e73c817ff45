"""A browser, and reports to open in it."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from drawn_figures import draw
from monai_attn.reporting.page import References, write_report
from report_reader import Reader
from run_folders import AFFINE, organ, row, stored_map, write_case, write_rows

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SHAPE = (24, 20, 16)
UNSEEN = np.s_[:8]


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as run:
        found = found or run.chromium.executable_path
        if not Path(found).exists():
            pytest.skip(f"no browser among {', '.join(BROWSERS)}; install chromium")
        opened = run.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """A report of a case with everything, one whose scan is gone, one stored askew, and one that failed."""
    out = tmp_path_factory.mktemp("run") / "out"
    rng = np.random.default_rng(0)
    image = rng.uniform(-150, 250, SHAPE).astype(np.float32)
    attention = stored_map(0.8, SHAPE, UNSEEN)
    attention[8:, 10:] = 1
    rows = [
        write_case(
            out,
            "whole",
            image,
            organ(SHAPE),
            attention={1: attention, 2: stored_map(0.4, SHAPE)},
            entropy=stored_map(0.6, SHAPE),
        ),
        write_case(out, "gone", image, organ(SHAPE)),
        write_case(out, "marked", marked(), organ(SHAPE) * 0),
        row("<i>bad", status="failed", reason="cut short; copy it again"),
    ]
    (out.parent / "scans" / "gone.nii.gz").unlink()
    reference = out.parent / "reference.nii.gz"
    nib.Nifti1Image(np.roll(organ(SHAPE), 3, axis=0), AFFINE).to_filename(reference)
    write_rows(out, *rows)
    return write_report(out, references=References(files={"whole_seg.nii.gz": reference}))


def marked():
    """Air, but bone at the right, posterior, superior corner of the patient; stored left to right."""
    image = np.full(SHAPE, -1000.0, np.float32)
    image[-6:, :5, -4:] = 1000
    return image


@pytest.fixture
def reader(browser, report):
    opened = Reader(browser, report)
    yield opened
    opened.page.close()
    assert opened.said == []


@pytest.fixture(scope="module")
def drawn_organ():
    return draw(title="case 7")
