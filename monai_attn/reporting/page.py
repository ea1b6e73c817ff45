"""One page for a run: every case with its numbers, and its slices to look through. It needs no network.

All that comes from files is escaped by the template, and the page allows no script but its own. Cases are
read one at a time, as the page is written.
"""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from monai_attn.datasets.folder_layouts import FIRST
from monai_attn.io.errors import ScanWarning
from monai_attn.io.files import atomic_write
from monai_attn.io.names import REPORT
from monai_attn.metrics.scores import CaseScore
from monai_attn.reporting.case_sections import case_sections
from monai_attn.reporting.colours import MAP_COLOURS, REFERENCE_COLOUR
from monai_attn.reporting.differences import KINDS
from monai_attn.reporting.number_tips import STATUS, tip_of
from monai_attn.reporting.packing import MAP_STEPS
from monai_attn.reporting.planes import NEGATIVE, PLANES, POSITIVE
from monai_attn.reporting.references import References
from monai_attn.reporting.run_table import by_doubt, columns, row
from monai_attn.reporting.side_files import remove_others, write_side_file
from monai_attn.runs.reading import FILE, FORMAT, VERSION, Entry, read_reading
from monai_attn.runs.records import Record, Run, read_run

MARK = "monai-attn report"
TEMPLATES = files("monai_attn.reporting") / "templates"
SCRIPTS = (  # parts first, whole last; all in one scope
    "volumes",
    "camera",
    "outlines",
    "slices",
    "colours",
    "marks",
    "measures",
    "painting",
    "windows",
    "readout",
    "disagreements",
    "full_resolution",
    "picture",
    "pointer",
    "controls",
    "viewer",
    "reading",
    "keys",
    "tips",
    "table",
    "page",
)
SLABS = (0, 5, 10, 20, 40)  # thickness, mm; 0 is one slice
Dict = dict[str, Any]


def write_report(
    folder: str | Path,
    path: str | Path | None = None,
    *,
    references: References | None = None,
    full_resolution: bool = True,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the report of a run, whole or not at all.

    The same files give the same report: its date is that of the run's summary.

    Args:
        folder: the folder that `segment` wrote to.
        path: the page, which ends in .html; `report.html` in the folder by default.
        references: references to compare with, if there are any.
        full_resolution: write each case that is too large for the page at full resolution next to it, into
            `report_files`; the page loads it when it is asked for.
        on_case: called after each case with the number of cases done and the total.

    Returns:
        The path written.

    Raises:
        ValueError: if the folder holds no run, or another file would be lost.

    Example:
        >>> write_report("out")  # doctest: +SKIP
        PosixPath('out/report.html')
    """
    run = read_run(folder)
    page = Path(path) if path else run.folder / REPORT
    check_replaceable(page)
    written: list[str] = []  # file names of the cases at full resolution

    def write_full(labels: Path, view: Dict, volumes: Mapping[str, str]) -> Dict:
        said = write_side_file(page, labels, view, volumes)
        written.append(Path(said["file"]).name)
        return said

    writer = write_full if full_resolution else None
    content = _content(run, references or References(), on_case, writer)
    template = _environment().get_template("report.html")
    with atomic_write(page) as file:
        for part in template.generate(content):
            # bytes of a name that are not UTF-8 are shown escaped
            file.write(part.encode(errors="backslashreplace"))
    remove_others(page, written)
    return page


def check_replaceable(path: Path) -> None:
    """Check that a report can be written to a path: it holds no file, or an older report.

    Raises:
        ValueError: if there is another file, which would be lost, or the name ends in another suffix.
    """
    if path.suffix.lower() != ".html":
        raise ValueError(f"{path}: suffix '{path.suffix}'; '.html' expected: rename the file")
    begins = f"<!DOCTYPE html>\n<!-- {MARK} -->".encode()
    try:
        with path.open("rb") as file:
            if file.read(len(begins)) == begins:
                return
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass
    raise ValueError(f"{path}: not a report of a run, so it is not replaced. Move it away.")


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("monai_attn.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _source(name: str) -> str:
    return TEMPLATES.joinpath(name).read_text(encoding="utf-8")


def _content(
    run: Run,
    references: References,
    on_case: Callable[[int, int], None],
    write_full: Callable[[Path, Dict, Mapping[str, str]], Dict] | None,
) -> Dict:
    style = _source("report.css")
    script = "".join(_source(f"scripts/{name}.js") for name in SCRIPTS)
    records = by_doubt(run.records)
    shown = [record for record in records if record.made]
    places = {id(record): place for place, record in enumerate(run.records)}
    ids = {record.labels.name: f"case-{i}" for i, record in enumerate(run.records, 1)}
    scores = _scores_by_record(run, references.scores)
    settings = run.settings
    return {
        "mark": MARK,
        "title": run.folder.resolve().name,
        "style": Markup(style),
        "script": Markup(script),
        "script_hash": Markup(
            f"sha256-{b64encode(sha256(script.encode()).digest()).decode('ascii')}"
        ),
        "facts": [
            *filter(None, (_bundle(settings), run.date.replace("T", " ").replace("+00:00", " UTC")))
        ],
        "notice": _said(settings.get("intended_use")),
        "settings": [*_settings(settings)],
        "version": _said(settings.get("monai_attn")),
        "counts": [(status, count, STATUS.get(status, "")) for status, count in run.counts.items()],
        "columns": columns(run, scores),
        "rows": [
            {"cells": row(run, record, scores, ids), "given": places[id(record)]}
            for record in records
        ],
        "reordered": records != [*run.records],
        "given": {ids[record.labels.name]: places[id(record)] for record in shown},
        "any_shown": bool(shown),
        "tip_of": tip_of,
        "planes": PLANES,
        "slabs": SLABS,
        "full_resolution": write_full is not None,
        "reference_colour": REFERENCE_COLOUR,
        "cases": case_sections(shown, references, scores, ids, on_case, write_full),
        "page": _page_data() | {"reading": _reading_data(run, shown, ids)},
    }


def _reading_data(run: Run, shown: list[Record], ids: Mapping[str, str]) -> Dict:
    """Return the cases that a reader judges, and what the folder's `reading.json` says of them."""
    names = {ids[record.labels.name]: record.name for record in shown}
    title = run.folder.resolve().name
    entries = run_reading(run)
    return {
        "format": FORMAT,
        "version": VERSION,
        "file": FILE,
        "report": title,
        "id": sha256(repr((title, run.date, names)).encode(errors="replace")).hexdigest()[:16],
        "cases": names,
        "known": {
            case: {"verdict": entry.verdict, "comment": entry.comment, "time": entry.time}
            for case, name in names.items()
            if (entry := entries.get(name))
        },
    }


def run_reading(run: Run) -> Mapping[str, Entry]:
    """Return a reader's entries by case; a `ScanWarning` says if the file cannot be read."""
    names = [record.name for record in run.records if record.made]
    try:
        reading = read_reading(run.folder, names)
    except ValueError as error:  # the report is complete without it
        warnings.warn(str(error), ScanWarning, stacklevel=2)
        return {}
    if reading is None:
        return {}
    if reading.unknown:
        others = ", ".join(reading.unknown[:3])
        warnings.warn(
            f"{run.folder / FILE}: {len(reading.unknown)} of its cases are not in this run ({others[:80]}); "
            "they are left out",
            ScanWarning,
            stacklevel=2,
        )
    return reading.entries


def _page_data() -> Dict:
    """Return the data that the script needs for all cases."""
    return {
        "planes": [
            {
                "name": p.name,
                "through": p.through,
                "across": p.across,
                "up": p.up,
                "letters": p.letters,
            }
            for p in PLANES
        ],
        "letters": [*map("".join, zip(POSITIVE, NEGATIVE, strict=True))],
        "reference_colour": REFERENCE_COLOUR,
        "map_steps": MAP_STEPS,
        "differences": [{"name": kind.name, "colour": kind.colour} for kind in KINDS],
        "maps": {
            kind: [to_hex(colormaps[name](step / MAP_STEPS)) for step in range(MAP_STEPS + 1)]
            for kind, name in MAP_COLOURS.items()
        },
    }


def _scores_by_record(run: Run, scores: Iterable[CaseScore]) -> dict[str, list[CaseScore]]:
    """Group the scores by case, under the file name of its label map."""
    by_case: dict[str, list[CaseScore]] = {}
    for score in scores:
        by_case.setdefault(score.case, []).append(score)
    return {
        record.labels.name: by_case.get(record.name)
        or by_case.get(record.name.removesuffix(FIRST), [])
        for record in run.records
        if record.made
    }


# --- one case


def _bundle(settings: Dict) -> str:
    bundle = settings.get("bundle")
    bundle = bundle if isinstance(bundle, dict) else {}
    return " ".join(filter(None, (_said(bundle.get("name")), _said(bundle.get("version")))))


def _settings(settings: Dict) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each setting of the run; empty and false ones are left out."""
    for name, value in settings.items():
        if name in ("bundle", "intended_use") or value is None or value is False or value == "":
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key}: {item}" for key, item in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(_item, value))
        yield name.replace("_", " "), "yes" if value is True else str(value)


def _item(value: Any) -> str:
    """Return an entry of a list, of a bundle in an ensemble its name and the first digits of its digest."""
    if isinstance(value, dict):
        return f"{_said(value.get('name'))} ({_said(value.get('weights_sha256'))[:12]})"
    return str(value)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""
