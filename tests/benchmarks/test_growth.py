"""The measure of growth: its scans, its bundles, its record, and the lines through its figures."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from benchmarks import growth, growth_plot
from benchmarks.growth import measure_growth, with_slices, write_bundle
from benchmarks.growth_plot import draw, fit_line, table
from benchmarks.process import Run
from monai_attn.bundle.open import open_bundle

VOXELS = np.arange(6, dtype=np.int16).reshape(1, 1, 6)


@pytest.mark.parametrize(
    ("count", "fill", "expected"),
    [
        (6, None, [0, 1, 2, 3, 4, 5]),
        (2, None, [2, 3]),
        (9, None, [0, 0, 1, 2, 3, 4, 5, 5, 5]),
        (8, -1000, [-1000, 0, 1, 2, 3, 4, 5, -1000]),
    ],
)
def test_a_scan_gets_any_number_of_slices_around_its_middle(count, fill, expected):
    assert with_slices(VOXELS, count, fill)[0, 0].tolist() == expected


@pytest.mark.slow  # it opens a bundle
def test_a_bundle_with_more_classes_opens_and_cleans_each(tmp_path):
    bundle = open_bundle(
        write_bundle(tmp_path / "five", 5), device="cpu", backend="eager", precision="float32"
    )
    assert bundle.segmenter().channels == 5
    clean = bundle.segmenter().postprocessing.transforms[1]
    assert clean.keep_largest == clean.fill_holes == (1, 2, 3, 4)


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    commands = {("full", count): ["run", str(count)] for count in (1, 10)}
    monkeypatch.setitem(growth.GROWTHS, "scans", lambda work: commands)
    counted = []

    def run(command, log):
        counted.append(command[1])
        return Run(1.0, float(command[1]), 100.0)

    monkeypatch.setattr(growth, "measure_fork", run)
    measure_growth(tmp_path, "scans", 1)
    assert counted == ["1", "1", "10"]  # the first one compiles
    measure_growth(tmp_path, "scans", 2)
    assert counted[3:] == ["1", "1", "10"]
    curve = json.loads((tmp_path / "growth.json").read_text())["scans"]["full"]
    assert [[run["processor"] for run in curve[count]] for count in ("1", "10")] == [
        [1, 1],
        [10, 10],
    ]


def test_each_bundle_is_compiled_before_it_is_measured(tmp_path, monkeypatch):
    commands = {("full", count): ["run", "--bundle", str(count)] for count in (2, 5)}
    monkeypatch.setitem(growth.GROWTHS, "classes", lambda work: commands)
    counted = []
    monkeypatch.setattr(
        growth, "measure_fork", lambda line, log: counted.append(line[2]) or Run(1, 1, 1)
    )
    measure_growth(tmp_path, "classes", 1)
    assert sorted(counted[:2]) == ["2", "5"]
    assert counted[2:] == ["2", "5"]


def test_a_straight_line_has_no_deviation():
    line = fit_line([1, 10, 100, 1000], [3.5, 8.0, 53.0, 503.0])
    assert (line.start, line.slope, line.deviation) == (3.0, 0.5, 0.0)


def test_a_square_shows_as_a_deviation():
    assert fit_line([1, 10, 100], [2.0, 101.0, 10001.0]).deviation > 0.3


FIGURES = {
    "machine": "2 cores",
    "slices": {
        "full": {
            str(n): [{"processor": 3.0 + n, "seconds": 1.0, "mib": 100.0 + 2 * n}] * 2
            for n in (64, 128, 1500)
        }
    },
    "scans": {
        "full": {
            str(n): [{"processor": 4.0 + n, "seconds": 1.0, "mib": 100.0}] for n in (1, 10, 1000)
        }
    },
}


def test_the_table_states_the_medians_and_the_line():
    lines = table(FIGURES).splitlines()
    assert len(lines) == 4
    assert "| 64, 128, 1500 slices | full | 67.0, 131.0, 1503.0 | 3.0 + 1 n | 0% |" in lines[2]
    assert lines[3].endswith("| 100, 100, 100 |")


def test_the_picture_has_a_column_for_each_growth(tmp_path):
    draw(FIGURES, tmp_path / "two.png")
    draw({**FIGURES, "classes": FIGURES["scans"]}, tmp_path / "three.png")
    two, three = (imread(tmp_path / f"{name}.png") for name in ("two", "three"))
    assert two.shape[0] == three.shape[0]
    assert three.shape[1] == pytest.approx(1.5 * two.shape[1], abs=2)
    assert two[..., :3].std() > 0.05


def test_the_picture_on_the_page_is_drawn_by_the_program():
    assert growth_plot.PICTURE.parent.name == "assets"
    assert growth_plot.PICTURE.is_file()
