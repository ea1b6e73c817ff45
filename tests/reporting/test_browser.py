"""The planes of a report as their reader meets them: in a browser, from a file, without a network."""

import numpy as np
import pytest

from report_reader import BLUE, ORANGE, Reader, coloured, differ


def test_a_slider_moves_the_slice_of_its_plane_alone(reader):
    reader.press("x")  # the crosshair would move in the others
    before = [reader.pixels(plane) for plane in ("axial", "coronal")]
    slider = reader.case.locator(".slice").first
    slider.focus()
    reader.page.keyboard.press("ArrowRight")
    assert reader.place().startswith("slice 7 of 16")
    assert differ(before[0], reader.pixels("axial")) > 0.2
    assert differ(before[1], reader.pixels("coronal")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("key", ["c", "f", "r", "d", "x", "1", "2", "3"])
def test_a_key_toggles_what_is_drawn_and_a_second_takes_it_back(reader, key):
    before = reader.pixels()
    reader.press(key)
    assert differ(before, reader.pixels()) > 0.001
    reader.press(key)
    assert differ(before, reader.pixels()) == 0


@pytest.mark.slow
def test_contours_have_their_colours(reader):
    seen = reader.pixels()
    assert coloured(seen, ORANGE) > 50
    assert coloured(seen, BLUE) > 30
    reader.press("c", "r", "d", "x")
    seen = reader.pixels()
    assert coloured(seen, ORANGE) == coloured(seen, BLUE) == 0


@pytest.mark.slow
def test_a_reference_is_dashed_and_a_label_is_not(reader):
    reader.press("x")
    seen = reader.pixels()
    for colour, least, most in ((ORANGE, 1, 4), (BLUE, 8, 100)):
        line = np.abs(seen - np.array(colour)).max(axis=-1) <= 60
        edge = line[:, line.sum(axis=0).argmax()]  # the column that runs along an edge
        assert least <= np.count_nonzero(np.diff(edge)) <= most


@pytest.mark.slow
def test_buttons_say_whether_they_are_pressed(reader):
    button = reader.case.get_by_role("button", name="Attention, level 1")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    other = reader.case.get_by_role("button", name="Uncertainty")
    other.click()
    assert [b.get_attribute("aria-pressed") for b in (button, other)] == ["false", "true"]


@pytest.mark.slow
def test_a_map_has_its_legend_and_attention_its_caution(reader):
    scale = reader.case.locator(".scale")
    assert not scale.is_visible()
    reader.press("1")
    assert scale.is_visible()
    assert "not looked at" in scale.inner_text()
    assert "evidence to check, no explanation" in scale.inner_text()
    reader.press("3")
    assert "Uncertainty" in scale.inner_text()
    assert "evidence" not in scale.inner_text()


@pytest.mark.slow
def test_what_was_not_looked_at_differs_from_an_attention_of_zero(reader):
    reader.press("c", "r", "x", "0")
    plain = reader.pixels()
    reader.press("1")
    seen = reader.pixels()
    height, width = seen.shape[:2]
    # right of the patient is at the left: seen there, zero in front of it; unseen at the other side
    unseen = seen[:, -width // 4 : -width // 12] - plain[:, -width // 4 : -width // 12]
    zero = seen[height // 4 : height // 3, width // 6 : width // 3]
    purple = (zero[..., 2] > zero[..., 1] + 15).mean()
    assert purple > 0.9
    hue = np.abs(seen[..., 2] - seen[..., 1])[:, -width // 4 : -width // 12]
    assert (hue < 30).mean() > 0.9  # hatched in grey
    assert np.abs(unseen).max() > 30


def test_the_wheel_turns_slices_and_with_ctrl_it_zooms(reader):
    reader.canvas().hover()
    reader.page.mouse.wheel(0, -120)
    assert reader.place().startswith("slice 7 of 16")
    before = reader.pixels()
    reader.page.keyboard.down("Control")
    reader.page.mouse.wheel(0, -120)
    reader.page.keyboard.up("Control")
    assert reader.place().startswith("slice 7 of 16")
    assert differ(before, reader.pixels()) > 0.1


# a notch as browsers count it: Chrome, Chrome at 125, 150 and 200 %, Firefox by lines
NOTCHES = [(120, 0), (80, 0), (66.67, 0), (50, 0), (3, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("delta", "mode"), NOTCHES)
def test_a_notch_of_the_wheel_is_one_slice_however_it_is_counted(reader, delta, mode):
    for _ in range(4):
        reader.canvas().dispatch_event("wheel", {"deltaY": delta, "deltaMode": mode})
    assert reader.place().startswith("slice 2 of 16")


@pytest.mark.slow
def test_a_touchpad_turns_a_slice_after_some_way(reader):
    for _ in range(9):
        reader.canvas().dispatch_event("wheel", {"deltaY": -10})
    assert reader.place().startswith("slice 8 of 16")


@pytest.mark.slow
def test_the_labels_are_found_again(reader):
    reader.press("Home")
    reader.case.get_by_role("button", name="To labels").click()
    assert reader.place().startswith("slice 6 of 16")


@pytest.mark.slow
def test_dragging_a_window_stays_within_what_is_there(reader):
    x, y = (reader.canvas().bounding_box()[side] for side in ("x", "y"))
    for _ in range(3):
        reader.page.mouse.move(x + 20, y + 20)
        reader.page.mouse.down(button="right")
        reader.page.mouse.move(x + 1150, y + 800)
        reader.page.mouse.up(button="right")
    assert [reader.case.locator(f".{name}-said").inner_text() for name in ("level", "width")] == [
        "250 HU",
        "400 HU",
    ]


# the key, the plane whose place it moves, and where that goes
KEYS = [
    ("PageUp", "axial", "slice 7 of 16"),
    ("PageDown", "axial", "slice 5 of 16"),
    ("Home", "axial", "slice 1 of 16"),
    ("End", "axial", "slice 16 of 16"),
    ("ArrowLeft", "sagittal", "slice 13 of 24"),
    ("ArrowRight", "sagittal", "slice 11 of 24"),
    ("ArrowUp", "coronal", "slice 11 of 20"),
    ("ArrowDown", "coronal", "slice 9 of 20"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "plane", "place"), KEYS)
def test_the_keyboard_moves_slices_and_crosshair(reader, key, plane, place):
    reader.press(key)
    assert reader.place(plane).startswith(place)


@pytest.mark.slow
def test_a_click_moves_the_crosshair_in_all_planes(reader):
    before = reader.place("sagittal"), reader.place("coronal"), reader.place("axial")
    reader.canvas().click(position={"x": 150, "y": 150})
    after = reader.place("sagittal"), reader.place("coronal"), reader.place("axial")
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert before[2] == after[2]


def test_what_lies_at_the_crosshair_is_said(reader):
    assert "HU" in reader.says()
    assert "pancreas" in reader.says()
    reader.press("1")
    assert "attention 0.80" in reader.says()
    reader.press("3", *["ArrowRight"] * 5)
    assert "entropy 0.60" in reader.says()
    reader.press("1")
    assert "not looked at" in reader.says()


def test_the_pointer_is_read_while_it_is_over_a_plane_and_the_crosshair_after(reader):
    assert reader.says().startswith("Crosshair")
    box = reader.canvas().bounding_box()
    reader.page.mouse.move(box["x"] + 10, box["y"] + 10)
    before = reader.says()
    assert before.startswith("Pointer")
    reader.page.mouse.wheel(0, -120)
    assert reader.says().startswith("Pointer")
    assert reader.says() != before, "the slice below the pointer is another"
    reader.page.mouse.move(0, 0)
    assert reader.says().startswith("Crosshair")


def test_the_reference_is_read_while_it_is_shown(reader):
    assert "in the reference" in reader.says()
    reader.press("r")
    assert "reference" not in reader.says()


@pytest.mark.slow
def test_windows_change_the_greys(reader):
    reader.press("c", "r", "x")
    mean = reader.pixels().mean()
    reader.case.locator(".preset").select_option("Lung")
    assert reader.pixels().mean() > mean + 20
    assert reader.case.locator(".width-said").inner_text() == "1500 HU"
    reader.press("w")
    assert reader.case.locator(".preset").input_value() == "Bone"
    level = reader.case.locator(".level")
    level.focus()
    reader.page.keyboard.press("ArrowLeft")
    assert reader.case.locator(".preset").input_value() == "Own"


@pytest.mark.slow
def test_opacity_follows_its_keys(reader):
    reader.press("2")
    before = reader.pixels()
    reader.press("]", "]")
    assert reader.case.locator(".opacity-said").inner_text() == "70 %"
    assert differ(before, reader.pixels()) > 0.1


@pytest.mark.slow
def test_a_plane_is_enlarged_and_made_small_again(reader):
    def width():
        return reader.canvas("coronal").bounding_box()["width"]

    small = width()
    reader.press("Enter", plane="coronal")
    assert width() > 2 * small
    reader.press("Enter", plane="coronal")
    assert width() == small


def test_a_marked_corner_lies_where_radiologists_look_for_it(browser, report):
    reader = Reader(browser, report, "case-3")
    reader.press("x", "0", "End")  # the top slice
    reader.press("End", plane="sagittal")  # the rightmost
    reader.press("Home", plane="coronal")  # the hindmost
    for plane, (low, left) in {
        "axial": (True, True),  # posterior is below, right at the left
        "coronal": (False, True),  # superior is above
        "sagittal": (False, False),  # posterior at the right
    }.items():
        bright = reader.pixels(plane).min(axis=-1) > 200
        rows, columns = np.nonzero(bright[40:-60, 30:-30])
        height, width = bright[40:-60, 30:-30].shape
        assert len(rows) > 500
        assert (np.median(rows) > height / 2) == low, plane
        assert (np.median(columns) < width / 2) == left, plane
    reader.page.close()


@pytest.mark.slow
def test_proportions_are_true_in_mm(browser, report):
    reader = Reader(browser, report, "case-2")  # labels alone, on a grey of the scan's size
    reader.press("0", "x", "c", "f")
    size = {"axial": (96, 100), "coronal": (96, 96), "sagittal": (100, 96)}
    for plane, (across, up) in size.items():
        scan = reader.pixels(plane).max(axis=-1) > 20  # grey on black
        panel = len(scan) + 16  # with the rim that was cut
        shown = [np.ptp(np.flatnonzero(scan.any(axis))) + 1 for axis in (0, 1)]
        expected = [min(panel * mm / 100, panel - 16) for mm in (across, up)]
        assert shown == pytest.approx(expected, abs=2), plane
    reader.page.close()


@pytest.mark.slow
def test_a_case_whose_scan_is_gone_shows_its_labels(browser, report):
    reader = Reader(browser, report, "case-2")
    assert "the scan is no longer there" in reader.case.locator(".note").first.inner_text()
    assert coloured(reader.pixels(), ORANGE, 90) > 500
    assert "HU" not in reader.says()
    assert reader.said == []
    reader.page.close()


@pytest.mark.slow
def test_a_closed_case_lets_go_of_its_volumes_and_opens_again(reader):
    before = reader.pixels()
    for _ in range(2):
        reader.case.locator("summary").first.click()
    assert differ(before, reader.pixels()) == 0


@pytest.mark.slow
def test_a_link_of_the_table_opens_a_case_again_that_was_closed(reader):
    reader.case.locator("summary").first.click()
    assert reader.case.get_attribute("open") is None
    reader.page.get_by_role("link", name="whole").click()
    assert reader.case.get_attribute("open") is not None


@pytest.mark.slow
def test_the_table_is_sorted_by_its_heads(reader):
    def cases():
        return reader.page.locator("table.cases tbody th").all_inner_texts()

    head = reader.page.get_by_role("button", name="Case", exact=True)
    head.click()
    assert cases() == ["<i>bad", "gone", "marked", "whole"]
    head.click()
    assert cases()[0] == "whole"
    assert reader.page.locator('th[aria-sort="descending"]').count() == 1
    reader.page.get_by_role("button", name="pancreas").click()
    assert cases()[-1] == "<i>bad"  # it has no volume


@pytest.mark.slow
def test_paper_has_the_planes_side_by_side_and_nothing_to_press(reader):
    reader.press("Enter")
    reader.page.emulate_media(media="print")
    reader.page.set_viewport_size({"width": 794, "height": 1123})  # A4
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 794
    planes = ("axial", "coronal", "sagittal")
    tops = {round(reader.canvas(plane).bounding_box()["y"]) for plane in planes}
    assert len(tops) == 1
    assert reader.case.locator("button:visible, input:visible").count() == 0
