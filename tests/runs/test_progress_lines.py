"""Progress without a terminal: lines that say what is done and how long the rest takes."""

import io
import time

from rich.console import Console

from monai_attn.runs.progress_lines import ProgressLines


def lines(every):
    text = io.StringIO()
    return text, ProgressLines(Console(file=text, width=20), every=every)


def test_a_line_says_what_is_done_of_each_task():
    _, progress = lines(1)
    assert progress.line() == ""
    cases, windows = progress.add_task("cases", total=3), progress.add_task("windows", total=None)
    progress.update(cases, completed=1)
    progress.update(windows, completed=7)
    assert progress.line() == "cases: 1 of 3; windows: 7"
    progress.update(cases, completed=3)
    assert progress.line() == "windows: 7"


def test_the_time_left_follows_from_the_pace():
    now = [0.0]
    progress = ProgressLines(Console(file=io.StringIO()))
    progress.get_time = lambda: now[0]
    task = progress.add_task("training", total=100)
    for step in range(1, 11):
        now[0] = 3.0 * step
        progress.update(task, completed=step)
    assert progress.line() == "training: 10 of 100, 0:04:30 left"


def test_lines_come_while_nothing_advances_and_end_with_the_work():
    text, progress = lines(0.01)
    with progress:
        progress.add_task("a stage with a name longer than a line of the console", total=3)
        while text.getvalue().count("\n") < 3:
            time.sleep(0.01)
    written = text.getvalue()
    assert set(written.splitlines()) == {
        "a stage with a name longer than a line of the console: 0 of 3"
    }
    time.sleep(0.05)
    assert text.getvalue() == written


def test_lines_can_begin_again():
    """A federated training runs once in each round."""
    text, progress = lines(0.01)
    for count in (1, 2):
        with progress:
            task = progress.add_task(f"round {count}", total=3)
            while f"round {count}: 0 of 3" not in text.getvalue():
                time.sleep(0.01)
        progress.remove_task(task)
    assert progress.line() == ""
