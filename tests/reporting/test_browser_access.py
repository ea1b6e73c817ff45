"""A report without a mouse, by ear, in low contrast, and on a phone."""

import io

import pytest
from matplotlib.image import imread

from report_reader import Reader

CONTRAST = 4.5  # of text against its background: WCAG 2.2, success criterion 1.4.3
PHONE = {"viewport": {"width": 390, "height": 844}}

# texts in sight with too little contrast: their colour against the nearest background that is not clear
FAINT = """(least) => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((n) => n / 255)
    .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4))
    .reduce((sum, n, i) => sum + n * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, style, :disabled")) continue;
    if (!element.checkVisibility()) continue;
    const colours = [parts(getComputedStyle(element).color), behind(element)];
    const pair = colours.map(light).sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < least) faint.add(`${node.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...faint];
}"""


def focused(reader):
    """The element that has the focus: its own name in the page, or its text."""
    return reader.page.evaluate("""() => {
      const element = document.activeElement;
      return element.getAttribute("aria-label") || element.textContent.trim() || element.className;
    }""")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(browser, report, scheme):
    reader = Reader(browser, report, color_scheme=scheme, reduced_motion="reduce")
    reader.press("1", "l", "a")
    assert reader.page.evaluate(FAINT, CONTRAST) == []
    reader.page.keyboard.press("?")
    assert reader.page.evaluate(FAINT, CONTRAST) == []
    reader.page.evaluate("localStorage.clear()")
    reader.page.close()


def test_every_control_has_a_name_for_a_screen_reader(reader):
    nodes = reader.page.context.new_cdp_session(reader.page).send("Accessibility.getFullAXTree")
    roles = ("button", "link", "slider", "combobox", "textbox", "checkbox", "application")
    controls = [node for node in nodes["nodes"] if node["role"]["value"] in roles]
    assert len(controls) > 40
    assert [node for node in controls if not node["name"]["value"].strip()] == []


@pytest.mark.slow
def test_the_page_is_walked_through_by_keyboard(browser, report):
    reader = Reader(browser, report, case="nothing")
    seen = []
    for _ in range(120):
        reader.page.keyboard.press("Tab")
        seen.append(focused(reader))
        outline = reader.page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
        )
        assert outline or seen[-1] in ("", "cases"), seen[-1]
        if seen[-1].startswith("sagittal plane"):
            break
    else:
        pytest.fail(f"the planes are not reached: {seen}")
    for name in ("To the cases", "whole", "C Contours", "1 Attention, level 1", "L Ruler"):
        assert any(name in one for one in seen), name
    reader.page.close()


def test_the_meaning_of_a_number_is_shown_to_the_keyboard(reader):
    tip = reader.page.locator("#tip")
    head = reader.page.locator("table.cases thead button", has_text="pancreas")
    reader.page.locator("table.cases thead button").nth(1).focus()
    reader.page.keyboard.press("Tab")
    assert head.evaluate("button => button === document.activeElement")
    assert tip.inner_text().startswith("Volume of pancreas in the label map, ml")
    reader.page.keyboard.press("Escape")
    assert not tip.is_visible()


@pytest.mark.slow
def test_every_number_of_a_table_has_a_meaning(reader):
    bare = reader.page.evaluate("""() => [...document.querySelectorAll("td, .chip, .legend small")]
      .filter((cell) => /\\d/.test(cell.textContent) && !cell.closest("[title]") && !cell.matches(".words"))
      .map((cell) => cell.textContent)""")
    assert bare == []


def test_on_a_phone_the_picture_comes_first_and_nothing_runs_over(browser, report):
    reader = Reader(browser, report, **PHONE)
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= 390
    tools = reader.case.locator(".tools").bounding_box()
    last = reader.canvas("sagittal").bounding_box()
    assert tools["y"] >= last["y"] + last["height"]
    wide = reader.page.evaluate("""() => [...document.querySelectorAll(".case[open] *")]
      .filter((element) => element.getBoundingClientRect().right > innerWidth && !element.closest(".scroll"))
      .map((element) => element.className)""")
    assert wide == []
    reader.page.close()


def test_dark_and_light_follow_the_system(browser, report):
    seen = {}
    for scheme in ("light", "dark"):
        reader = Reader(browser, report, color_scheme=scheme)
        seen[scheme] = imread(io.BytesIO(reader.page.screenshot()), format="png")[5, 5, :3].mean()
        reader.page.close()
    assert seen["light"] > 0.9 > 0.2 > seen["dark"]


@pytest.mark.slow
def test_what_is_on_shows_in_forced_colours(reader):
    reader.page.emulate_media(forced_colors="active")
    on, off = (
        reader.case.locator(f"[data-toggle={name}]").evaluate(
            "b => getComputedStyle(b).backgroundColor"
        )
        for name in ("contours", "fill")
    )
    assert on != off


def test_a_narrow_window_needs_no_sideways_scrolling(browser, report):
    reader = Reader(browser, report, viewport={"width": 360, "height": 700})
    wide = reader.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    reader.page.close()
