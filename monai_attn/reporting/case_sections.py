"""Sections of a report, one for each case: its data for the viewer, its sizes and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nibabel.affines import voxel_sizes

from monai_attn.io.errors import case_error
from monai_attn.metrics.scores import CaseScore
from monai_attn.reporting.case_tables import case_tables
from monai_attn.reporting.differences import KINDS
from monai_attn.reporting.number_tips import WINDOWS, tip_of
from monai_attn.reporting.references import References
from monai_attn.reporting.run_table import said_interval, without_scan
from monai_attn.reporting.shown_scan import unit_of
from monai_attn.reporting.viewer import LIMIT, CaseView, view_case
from monai_attn.runs.records import Record

PAGE_LIMIT = 200_000_000  # characters of all cases together: browsers cannot hold 500 million
LEAST = 1_000_000  # and at least this many for one case, however many there are
Dict = dict[str, Any]


def case_sections(
    records: list[Record],
    references: References,
    scores: Mapping[str, list[CaseScore]],
    ids: Mapping[str, str],
    on_case: Callable[[int, int], None],
    write_full: Callable[[Path, Dict, Mapping[str, str]], Dict] | None = None,
) -> Iterator[Dict]:
    """Yield the cases with a label map one at a time: a scan is freed before the next is read.

    Args:
        records: the cases, in the order of the page.
        references: references to compare with.
        scores: the scores of each case by its label map's file name.
        ids: the place of each case in the page, by the same name.
        on_case: called after each case with the number of cases done and the total.
        write_full: writes the case of a label map at full resolution next to the page, from its data and its
            volumes, and returns what the page says of the file; None to leave it out.
    """
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
                full=write_full is not None,
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
            **_viewed(view, record, write_full),
        }
        on_case(done, len(records))


def _viewed(
    view: CaseView | None,
    record: Record,
    write_full: Callable[[Path, Dict, Mapping[str, str]], Dict] | None,
) -> Dict:
    if view is None:
        return {"view": None}
    data, full = view_data(view, record), None
    if view.full and write_full:
        full = write_full(record.labels, view_data(view.full, record), view.full.volumes)
    kinds = zip(KINDS, view.difference_ml, strict=False)
    return {
        "view": data | {"full": full},
        "full": full,
        "volumes": view.volumes.items(),
        "overlays": view.overlays,
        "has_image": "image" in view.volumes,
        "has_reference": "reference" in view.volumes,
        "has_places": bool(view.places),
        "labels": [
            {"name": name, "colour": colour, "ml": f"{ml:.1f} ml"}
            for _, name, colour, ml in view.labels
        ],
        "differences": [
            {"name": kind.name, "about": kind.about, "colour": kind.colour, "ml": f"{ml:.1f} ml"}
            for kind, ml in kinds
            if ml or kind is not KINDS[-1]
        ],
        "shown": " ".join(_shown(view, unit_of(record))),
    }


def view_data(view: CaseView, record: Record) -> Dict:
    """Return what the page's script must know of a case."""
    return {
        "name": record.name,
        "unit": unit_of(record),
        "shape": view.shape,
        "spacing": [round(float(size), 4) for size in voxel_sizes(view.affine)],
        "offset": [round(mm, 4) for mm in view.offset],
        "affine": view.affine.round(4).tolist(),
        "centre": view.centre,
        "ranges": view.ranges,
        "window": view.window,
        "bundle_window": record.manifest.settings.get("intensity_range") == [*view.window],
        "levels": view.levels,
        "labels": [{"name": name, "colour": colour} for _, name, colour, _ in view.labels],
        "overlays": [{"key": o.key, "title": o.title, "kind": o.kind} for o in view.overlays],
        "places": [
            {"kind": place.kind, "at": _shrunk(place.at, view.factors), "ml": f"{ml:.2f}"}
            for place, ml in view.places
        ],
        "more": view.more_places,
        "keys": [*view.volumes],
    }


def _shrunk(at: tuple[int, ...], factors: tuple[int, ...]) -> list[int]:
    return [index // factor for index, factor in zip(at, factors, strict=True)]


def _shown(view: CaseView, unit: str) -> Iterator[str]:
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
            f"Grey values are kept in 256 steps: {fine:.1f}{unit} in the middle of the bundle's window, up "
            f"to {coarse:.0f}{unit} far from it."
        )
    if view.tilt >= 1:
        yield f"The planes are along the scan's own axes, up to {view.tilt:.0f}\u00b0 oblique."


def _sizes(sizes: Iterable[float]) -> str:
    return " \u00d7 ".join(f"{size:.2f}" for size in sizes)


def _chips(record: Record) -> list[Dict]:
    """Return what stands next to the name of a case: volumes, windows, and what is doubtful."""
    volumes = []
    for name, ml in record.volumes_ml.items():
        interval = said_interval(record, name)
        text = f"{name} {ml:.1f} ml" + (f" ({interval})" if interval else "")
        volumes.append({"text": text, "tip": tip_of(name, "ml")})
    windows = (
        f"{record.manifest.mode}, {record.manifest.windows} windows"
        if record.manifest.windows
        else record.manifest.mode
    )
    reason = "to check" if record.status == "check" else record.reason
    others = [(windows, WINDOWS), (reason, "")]
    return [*volumes, *({"text": text, "tip": tip} for text, tip in others if text)]
