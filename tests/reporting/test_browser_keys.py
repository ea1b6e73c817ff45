"""Keys of a report, which need no click first."""

import json

import pytest

from report_reader import Reader, differ


@pytest.fixture
def untouched(browser, report):
    """A report whose first case is in sight, and in which nothing has the focus."""
    opened = Reader(browser, report, case="nothing", viewport={"width": 1200, "height": 1100})
    opened.case = opened.page.locator("#case-1")
    opened.case.evaluate("element => element.scrollIntoView()")
    opened.settle()
    yield opened
    opened.page.close()
    assert opened.said == []


def tap(reader, *keys):
    for key in keys:
        reader.page.keyboard.press(key)
    reader.settle()


def focused(reader):
    return reader.page.evaluate("document.activeElement.tagName")


@pytest.mark.parametrize(("key", "place"), [("PageUp", "slice 7"), ("Home", "slice 1")])
def test_keys_move_the_axial_plane_before_any_click(untouched, key, place):
    assert focused(untouched) == "BODY"
    tap(untouched, key)
    assert untouched.place().startswith(f"{place} of 16")


def test_letters_go_to_the_case_before_any_click(untouched):
    before = untouched.pixels()
    tap(untouched, "1")
    assert differ(before, untouched.pixels()) > 0.1
    tap(untouched, "c")
    assert untouched.case.locator("[data-toggle=contours]").get_attribute("aria-pressed") == "false"


@pytest.mark.slow
def test_keys_go_to_the_plane_that_was_used_last(untouched):
    untouched.canvas("coronal").click()
    untouched.page.evaluate("document.activeElement.blur()")
    before = untouched.place("coronal"), untouched.place("axial")
    tap(untouched, "PageUp")
    assert untouched.place("coronal") != before[0]
    assert untouched.place("axial") == before[1]


@pytest.mark.slow
def test_keys_that_scroll_are_the_pages_where_no_plane_is_in_sight(browser, report):
    reader = Reader(browser, report, case="nothing", viewport={"width": 1200, "height": 300})
    reader.case = reader.page.locator("#case-1")
    place = reader.place()
    tap(reader, "PageDown")
    reader.page.wait_for_function("() => scrollY > 0")
    assert reader.place() == place
    reader.page.close()


def test_a_question_mark_lists_the_keys_and_escape_closes_the_list(untouched):
    keys = untouched.page.locator("#keys")
    tap(untouched, "?")
    assert keys.is_visible()
    words = keys.inner_text()
    for said in ("next or previous slice", "accept, reject, comment", "next window"):
        assert said in words
    tap(untouched, "PageUp")
    assert untouched.place().startswith("slice 6")  # nothing moves behind the list
    tap(untouched, "Escape")
    assert not keys.is_visible()


def test_every_key_that_does_something_is_listed(untouched):
    keys = untouched.page.evaluate("[Object.keys(ANYWHERE), Object.keys(IN_PLANE)]")
    listed = untouched.page.locator("#keys kbd").all_text_contents()
    names = {"PageUp": "Page up", "PageDown": "Page down", "-": "\u2212", "=": "+"}
    names |= {"Backspace": "Delete"}
    names |= dict(
        zip(
            ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
            "\u2190\u2192\u2191\u2193",
            strict=True,
        )
    )
    for key in [*keys[0], *keys[1]]:
        name = names.get(key, key)
        assert (name.upper() if len(name) == 1 else name) in listed, key


@pytest.mark.slow
def test_escape_leaves_an_enlarged_plane(untouched):
    small = untouched.canvas().bounding_box()["width"]
    tap(untouched, "Enter")
    assert untouched.canvas().bounding_box()["width"] > 2 * small
    tap(untouched, "Escape")
    assert untouched.canvas().bounding_box()["width"] == small


@pytest.mark.slow
def test_a_slider_keeps_its_keys_and_a_text_all_of_them(untouched):
    tap(untouched, "k")
    untouched.page.keyboard.type("c1?")
    assert untouched.case.locator(".comment").input_value() == "c1?"
    assert not untouched.page.locator("#keys").is_visible()
    untouched.case.locator(".level").focus()
    tap(untouched, "PageUp", "c")
    assert untouched.place().startswith("slice 6")
    assert untouched.case.locator("[data-toggle=contours]").get_attribute("aria-pressed") == "false"


@pytest.mark.slow
def test_single_letters_can_be_switched_off_outside_a_case(untouched):
    tap(untouched, "?")
    untouched.page.locator("#single-keys").uncheck()
    tap(untouched, "Escape", "c")
    contours = untouched.case.locator("[data-toggle=contours]")
    assert contours.get_attribute("aria-pressed") == "true"
    untouched.press("c")
    assert contours.get_attribute("aria-pressed") == "false"


# --- disagreements


def test_a_key_goes_from_one_disagreement_to_the_next(untouched):
    view = json.loads(untouched.page.locator("#case-1-view").text_content())
    said = untouched.case.locator(".disagreement")
    tap(untouched, "n")
    first, second = view["places"][:2]
    assert said.inner_text() == f"1 of 2: {kind_name(first)}, {first['ml']} ml"
    assert untouched.place().startswith(f"slice {first['at'][2] + 1} of 16")
    assert kind_name(first) in untouched.says()
    tap(untouched, "n")
    assert said.inner_text().startswith(f"2 of 2: {kind_name(second)}")
    tap(untouched, "n")
    assert said.inner_text().startswith("1 of 2")
    tap(untouched, "p")
    assert said.inner_text().startswith("2 of 2")


def kind_name(place):
    return ("false positive", "false negative", "another label")[place["kind"] - 1]


@pytest.mark.slow
def test_differences_have_their_colours_and_a_legend(untouched):
    plain = untouched.pixels()
    tap(untouched, "d")
    assert differ(plain, untouched.pixels()) > 0.005
    words = untouched.case.locator(".legend").inner_text()
    assert "false positive" in words
    assert "in the reference, but not labelled" in words
