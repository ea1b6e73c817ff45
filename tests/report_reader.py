"""A reader of a report: a page in a browser, from a file, without a network."""

import io

import numpy as np
from matplotlib.image import imread

ORANGE, BLUE = (255, 165, 31), (86, 200, 255)

# nothing is being unpacked, and the frame after the next has begun
# (a function: an expression would be evaluated at each poll, which the page's policy forbids)
SETTLED = """() => !document.querySelector("[aria-busy=true]")
    && new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go(true))))"""


class Reader:
    """A page with one case open, and what it complained about."""

    def __init__(self, browser, report, case="case-1", **options):
        self.said = []
        self.page = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requested(request.url))
        self.page.goto(f"{report.as_uri()}#{case}")
        self.case = self.page.locator(f"#{case}")
        self.settle()

    def requested(self, url):
        if not url.startswith("file:"):
            self.said.append(f"asked for {url}")

    def settle(self):
        """Wait until what was asked for is unpacked and drawn."""
        self.page.wait_for_function(SETTLED)

    def canvas(self, plane="axial"):
        return self.case.locator("canvas").nth(("axial", "coronal", "sagittal").index(plane))

    def pixels(self, plane="axial"):
        """What is seen of a plane, the middle of it: no letters, no focus ring."""
        self.settle()
        seen = imread(io.BytesIO(self.canvas(plane).screenshot()), format="png")[..., :3]
        return np.rint(255 * seen[8:-8, 8:-8]).astype(int)

    def place(self, plane="axial"):
        self.settle()
        index = ("axial", "coronal", "sagittal").index(plane)
        return self.case.locator(".place").nth(index).inner_text()

    def press(self, *keys, plane="axial"):
        self.canvas(plane).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def says(self):
        self.settle()
        return self.case.locator(".readout").inner_text()


def coloured(pixels, colour, tolerance=40):
    return int((np.abs(pixels - np.array(colour)).max(axis=-1) <= tolerance).sum())


def differ(a, b):
    return float((np.abs(a - b).max(axis=-1) > 10).mean())
