"""Choice of the series to segment among those of a study: a scanner stores localizers and phases too.

In each study the first series by this rule is chosen:

1. a volume of `FEWEST` slices or more, and no localizer;
2. axial slices;
3. original images, not such that were computed from others;
4. a recorded contrast agent, since the shipped weights were trained on the portal venous phase;
5. thin slices, where less than `THIN` mm counts as that;
6. many slices;
7. the last one acquired: of two phases the later one.

An original series of axial slices whose headers are faulty is listed too, so that it fails by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monai_attn.io.dicom.series_path import folder_of

if TYPE_CHECKING:
    from monai_attn.io.dicom.series_index import Series

FEWEST = 5  # slices; fewer are a localizer, or one place that is watched for the contrast agent
THIN = 1.0  # mm; thinner slices show no more of an organ


def choose_series(found: Sequence[Series]) -> tuple[list[Series], list[str]]:
    """Choose a series of each study.

    Args:
        found: series at any places. Those of one patient and study, in folders next to each other or in the
            same folder, belong together.

    Returns:
        The chosen series and the faulty ones, in the order in which they were found; and a line for each
        study of which a series was left out.
    """
    studies: dict[tuple[object, ...], list[Series]] = {}
    for place, series in enumerate(found):
        studies.setdefault(_study(place, series, found), []).append(series)
    chosen: list[Series] = []
    lines = []
    for study in studies.values():
        taken = _choose(study)
        chosen += taken
        left_out = [series for series in study if series not in taken]
        if left_out:
            lines.append(_line(taken, left_out))
    return [series for series in found if series in chosen], lines


def _study(place: int, series: Series, found: Sequence[Series]) -> tuple[object, ...]:
    """Return a key that series of one study share; a series whose UID is not its own is a study by itself."""
    twice = sum(1 for other in found if other.uid == series.uid) > 1
    if twice or not series.study:
        return (place,)
    return folder_of(series.path)[0].parent, series.patient, series.study


def _choose(study: Sequence[Series]) -> list[Series]:
    """Return the series of a study that is first by the rule, and the faulty ones."""
    scans = [series for series in study if may_be_scan(series)]
    faulty = [
        series
        for series in scans
        if series.fault and series.plane == "axial" and not series.derived and _is_volume(series)
    ]
    sound = sorted((series for series in scans if not series.fault), key=_rank)
    return [*faulty, *sound[:1]] or scans[:1]


def may_be_scan(series: Series) -> bool:
    """Check whether a series is a CT and no localizer."""
    return series.modality == "CT" and not series.localizer


def _is_volume(series: Series) -> bool:
    return series.slices >= FEWEST and series.spacing > 0


def _rank(series: Series) -> tuple[object, ...]:
    """Return a key by which the series to be chosen comes first."""
    return (
        not _is_volume(series),
        series.plane != "axial",
        series.derived,
        not series.contrast,
        round(max(series.spacing, THIN), 1),
        -series.slices,
        -int(series.acquired or 0),
        -(series.number or 0),
    )


def _line(taken: Sequence[Series], left_out: Sequence[Series]) -> str:
    """Return a line that says which series of a study are segmented, and which are not."""
    others = ", ".join(_described(series) for series in left_out)
    if not taken:
        return f"{folder_of(left_out[0].path)[0]}: no CT to segment (got {others}). It is left out."
    several = "; ".join(f"{series.path} ({_kind(series)})" for series in taken)
    return f"{several}: chosen; left out: {others}. To choose others, name a series, or all."


def _described(series: Series) -> str:
    return f"{series.path.name} ({_kind(series)})"


def _kind(series: Series) -> str:
    """Describe a series by numbers and codes, as its texts may name the patient."""
    number = "" if series.number is None else f"series {series.number}, "
    if series.modality != "CT":
        return f"{number}{series.modality}"
    if series.localizer:
        return f"{number}localizer"
    words = [series.plane, f"{series.slices} slices"]
    if series.spacing:
        words.append(f"{series.spacing:.3g} mm apart")
    words += ["derived"] * series.derived + ["contrast"] * series.contrast
    words += ["faulty"] * bool(series.fault)
    return number + ", ".join(words)
