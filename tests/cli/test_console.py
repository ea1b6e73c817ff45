"""The terminal: progress that begins with the work."""

from rich.console import Console

from monai_attn.cli import console
from monai_attn.runs.progress_lines import ProgressLines


def test_progress_is_shown_before_the_first_step_ends(monkeypatch):
    lines = ProgressLines(Console(), every=60)
    monkeypatch.setattr(console, "progress_bars", lambda: lines)
    with console.progress_of("phantoms") as on_case:
        assert lines.line() == "phantoms: 0"
        on_case(1, 4)
        assert lines.line().startswith("phantoms: 1 of 4")
        on_case(4, 4)
        assert lines.line() == ""
