"""Measures in a report: rulers, regions, slabs and saved pictures."""

import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread


def drag(reader, start, end):
    """Drag in the axial plane, from and to fractions of its canvas."""
    box = reader.canvas().bounding_box()
    for n, (x, y) in enumerate((start, end)):
        reader.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        (reader.page.mouse.up if n else reader.page.mouse.down)()
    reader.settle()


def listed(reader):
    return reader.case.locator(".measures li").all_inner_texts()


def test_a_ruler_has_the_length_in_mm(reader):
    reader.press("0", "l")
    drag(reader, (0.3, 0.5), (0.7, 0.5))
    (line,) = listed(reader)
    assert line.startswith("Ruler, axial, slice 6: ")
    field = reader.page.evaluate("[...VIEWERS.values()][0].camera.field")
    assert float(re.search(r"([\d.]+) mm", line)[1]) == pytest.approx(0.4 * field, abs=0.5)


@pytest.mark.slow
def test_a_ruler_is_set_with_the_keyboard_only(reader):
    reader.press("l", "Enter", *["ArrowLeft"] * 3, *["ArrowUp"] * 4, "Enter")
    (line,) = listed(reader)
    assert "23.3 mm" in line  # 3 x 4 mm and 4 x 5 mm
    reader.press("Delete")
    assert listed(reader) == []


@pytest.mark.slow
def test_a_region_has_mean_and_spread_of_the_values_in_it(reader):
    reader.press("o", "Enter", *["ArrowLeft"] * 4, *["ArrowUp"] * 4, "Enter")
    (line,) = listed(reader)
    mean, spread, across, up, area = map(
        float,
        re.search(r"mean (-?\d+) HU, SD (\d+), ([\d.]+) \S ([\d.]+) mm, (\d+) mm", line).groups(),
    )
    image = np.random.default_rng(0).uniform(-150, 250, (24, 20, 16)).astype(np.float32)
    x, y, z = reader.page.evaluate("[...VIEWERS.values()][0].view.centre")
    i, j = np.indices((5, 5)) - 2
    inside = image[x : x + 5, y : y + 5, z][i**2 + j**2 <= 4]
    assert (mean, spread) == (
        pytest.approx(inside.mean(), abs=4),
        pytest.approx(inside.std(), abs=4),
    )
    assert (across, up) == (16, 20)
    assert area == pytest.approx(np.pi / 4 * 16 * 20, abs=1)


@pytest.mark.slow
def test_a_measure_is_drawn_in_its_slice_only(reader):
    before = reader.pixels()
    reader.press("l", "Enter", *["ArrowLeft"] * 3, "Enter", *["ArrowRight"] * 3, "l")
    assert np.abs(before - reader.pixels()).max() > 50
    reader.press("PageUp", "PageUp")
    beyond = reader.pixels()
    reader.case.locator("[data-clear]").click()
    reader.page.mouse.move(0, 0)
    assert np.array_equal(beyond, reader.pixels())


@pytest.mark.slow
def test_escape_puts_a_tool_down(reader):
    reader.press("l")
    ruler = reader.case.locator("[data-tool=ruler]")
    assert ruler.get_attribute("aria-pressed") == "true"
    reader.press("Escape")
    assert ruler.get_attribute("aria-pressed") == "false"


@pytest.mark.slow
def test_a_slab_shows_the_largest_value_of_its_slices(reader):
    reader.press("c", "r", "d", "x")
    mean = reader.pixels().mean()
    reader.case.locator(".slab").select_option("20")
    assert reader.pixels().mean() > mean + 20
    byte, largest = reader.page.evaluate("""() => {
      const viewer = [...VIEWERS.values()][0], plane = viewer.panels[0].plane;
      const {volumes, view: {shape}, camera: {at}} = viewer;
      const column = [-1, 0, 1].map((n) => volumes.byte("image", [3, 4, at[2] + n]));
      return [viewer.slice("image", plane).bytes[3 + 4 * shape[0]], Math.max(...column)];
    }""")
    assert byte == largest  # 20 mm are 3 slices of 6 mm


def test_a_plane_is_saved_as_a_picture(reader):
    canvas = reader.canvas()
    width = canvas.evaluate("canvas => canvas.width")
    with reader.page.expect_download() as download:
        reader.press("s")
    assert download.value.suggested_filename == "whole_axial_6.png"
    picture = imread(BytesIO(download.value.path().read_bytes()), format="png")
    assert picture.shape[:2] == (width, width)
    assert np.ptp(picture) > 0.5
