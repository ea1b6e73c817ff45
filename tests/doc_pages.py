"""Pages of the documentation, by heading and table, for tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "pages"


def section(page, heading):
    """The text under a heading, up to the next one of its level."""
    text = page.read_text(encoding="utf-8")
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"{page.name} has no heading {heading!r}"
    return found[1]


def rows(markdown):
    """The cells of the tables in a text, without headings."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [i for i, row in enumerate(cells) if all(re.fullmatch(r":?-+:?", cell) for cell in row)]
    return [row for i, row in enumerate(cells) if i not in rules and i + 1 not in rules]
