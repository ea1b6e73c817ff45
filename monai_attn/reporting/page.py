"""One page for a run: every case with its numbers, and its slices to look through. It needs no network.

All that comes from files is escaped by the template, and the page allows no script but its own. Cases are
read one at a time, as the page is written.
"""

from __future__ import annotations

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
from nibabel.affines import voxel_sizes

from monai_attn.datasets.folder_layouts import FIRST
from monai_attn.io.errors import case_error
from monai_attn.io.files import atomic_write
from monai_attn.io.names import REPORT
from monai_attn.metrics.scores import CaseScore
from monai_attn.reporting.case_tables import case_tables
from monai_attn.reporting.packing import MAP_STEPS
from monai_attn.reporting.planes import NEGATIVE, PLANES, POSITIVE, REFERENCE_COLOUR
from monai_attn.reporting.references import References
from monai_attn.reporting.run_table import columns, row, said_interval, without_scan
from monai_attn.reporting.viewer import LIMIT, CaseView, view_case
from monai_attn.runs.records import Record, Run, read_run

MARK = "monai-attn report"
PAGE_LIMIT = 200_000_000  # characters of all cases together: browsers cannot hold 500 million
LEAST = 1_000_000  # and at least this many for one case, however many there are
TEMPLATES = files("monai_attn.reporting") / "templates"
SCRIPTS = ("contours.js", "colours.js", "viewer.js", "page.js")
MAP_COLOURS = {"attention": "viridis", "entropy": "inferno"}
Dict = dict[str, Any]


def write_report(
    folder: str | Path,
    path: str | Path | None = None,
    *,
    references: References | None = None,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the report of a run, whole or not at all.

    The same files give the same report: its date is that of the run's summary.

    Args:
        folder: the folder that `segment` wrote to.
        path: the page, which ends in .html; `report.html` in the folder by default.
        references: references to compare with, if there are any.
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
    path = Path(path) if path else run.folder / REPORT
    check_replaceable(path)
    content = _content(run, references or References(), on_case)
    template = _environment().get_template("report.html")
    with atomic_write(path) as file:
        for part in template.generate(content):
            # bytes of a name that are not UTF-8 are shown escaped
            file.write(part.encode(errors="backslashreplace"))
    return path


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
    raise ValueError(f"{path}: is no report of a run, and one would replace it; move it away")


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


def _content(run: Run, references: References, on_case: Callable[[int, int], None]) -> Dict:
    style, script = _source("report.css"), "".join(map(_source, SCRIPTS))
    shown = [record for record in run.records if record.made]
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
        "counts": run.counts.items(),
        "columns": columns(run, scores),
        "rows": [row(run, record, scores, ids) for record in run.records],
        "any_shown": bool(shown),
        "planes": PLANES,
        "reference_colour": REFERENCE_COLOUR,
        "cases": _cases(shown, references, scores, ids, on_case),
        "page": _page_data(),
    }


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


def _cases(
    records: list[Record],
    references: References,
    scores: Mapping[str, list[CaseScore]],
    ids: Mapping[str, str],
    on_case: Callable[[int, int], None],
) -> Iterator[Dict]:
    """Yield the cases with a label map one at a time: a scan is freed before the next is read."""
    limit = min(LIMIT, max(LEAST, PAGE_LIMIT // max(len(records), 1)))
    for done, record in enumerate(records, 1):
        file = record.labels.name
        fault = (references.faults or {}).get(file)
        notes = [fault] if fault else []
        view = None
        try:
            reference = (references.files or {}).get(file)
            view = view_case(
                record,
                reference,
                classes=references.classes,
                ignore=references.ignore,
                limit=limit,
            )
            notes += view.notes
        except (ValueError, OSError) as error:
            notes += [*filter(None, [record.fault]), case_error(record.labels, error)]
        yield {
            "id": ids[file],
            "name": record.name,
            "open": done == 1,
            "chips": _chips(record),
            "check": record.reason if record.status == "check" else "",
            "warnings": [without_scan(line, record) for line in record.warnings],
            "notes": notes,
            "tables": [*case_tables(record, scores[file])],
            **_viewed(view, record),
        }
        on_case(done, len(records))


def _viewed(view: CaseView | None, record: Record) -> Dict:
    if view is None:
        return {"view": None}
    return {
        "view": {
            "shape": view.shape,
            "spacing": [round(float(size), 4) for size in voxel_sizes(view.affine)],
            "affine": view.affine.round(4).tolist(),
            "centre": view.centre,
            "ranges": view.ranges,
            "window": view.window,
            "bundle_window": record.manifest.settings.get("intensity_range") == [*view.window],
            "levels": view.levels,
            "labels": [{"name": name, "colour": colour} for _, name, colour, _ in view.labels],
            "overlays": [{"key": o.key, "title": o.title, "kind": o.kind} for o in view.overlays],
            "keys": [*view.volumes],
        },
        "volumes": view.volumes.items(),
        "overlays": view.overlays,
        "has_image": "image" in view.volumes,
        "has_reference": "reference" in view.volumes,
        "labels": [
            {"name": name, "colour": colour, "ml": f"{ml:.1f} ml"}
            for _, name, colour, ml in view.labels
        ],
        "shown": " ".join(_shown(view)),
    }


def _shown(view: CaseView) -> Iterator[str]:
    """Yield sentences on how the case is shown: voxel size, grey values and oblique planes."""
    if max(view.factors) == 1:
        yield f"Shown at the scan's own {_sizes(view.spacing)} mm."
    else:
        blocks = " \u00d7 ".join(map(str, view.factors))
        yield (
            f"Shown at {_sizes(voxel_sizes(view.affine))} mm, {blocks} of the scan's voxels of "
            f"{_sizes(view.spacing)} mm in one; contours follow the labels as shown, and volumes are of "
            "the whole label map."
        )
    if view.levels:
        fine, coarse = view.steps
        yield (
            f"Grey values are kept in 256 steps: {fine:.1f} HU in the middle of the bundle's window, up to "
            f"{coarse:.0f} HU far from it."
        )
    if view.tilt >= 1:
        yield f"The planes are along the scan's own axes, up to {view.tilt:.0f}\u00b0 oblique."


def _sizes(sizes: Iterable[float]) -> str:
    return " \u00d7 ".join(f"{size:.2f}" for size in sizes)


def _chips(record: Record) -> list[str]:
    volumes = [
        f"{name} {ml:.1f} ml"
        + (f" ({said_interval(record, name)})" if said_interval(record, name) else "")
        for name, ml in record.volumes_ml.items()
    ]
    windows = (
        f"{record.manifest.mode}, {record.manifest.windows} windows"
        if record.manifest.windows
        else record.manifest.mode
    )
    reason = "to check" if record.status == "check" else record.reason
    return [*volumes, *filter(None, [windows, reason])]


# --- words


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
            value = ", ".join(map(str, value))
        yield name.replace("_", " "), "yes" if value is True else str(value)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""
