"""A report page as its readers take it in: tags, text and scripts."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page's tags, its text, and the text of each script."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.scripts = [], "", {}
        self.script = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.script = dict(attributes).get("id", "code")

    def handle_endtag(self, tag):
        self.script = None
        self.text += " "

    def handle_data(self, data):
        if self.script:
            self.scripts[self.script] = self.scripts.get(self.script, "") + data
        else:
            self.text += data

    @property
    def words(self):
        text = self.text.replace("\u2013", "-").replace("\u00d7", "x")
        return " ".join(text.split())

    def having(self, tag, **wanted):
        return [a for t, a in self.tags if t == tag and wanted.items() <= a.items()]
