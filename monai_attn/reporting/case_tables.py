"""Tables of text with the numbers of one case; a table without known numbers is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monai_attn.metrics.scores import CaseScore
from monai_attn.runs.json_values import number
from monai_attn.runs.records import Record

ABOUT_ATTENTION = "evidence to check, no explanation"
UNKNOWN_RATE = "the views alone, no known rate"
ABSENT = "\u2013"
Dict = dict[str, Any]


def case_tables(record: Record, scores: list[CaseScore]) -> Iterator[Dict]:
    """Yield a table each of the attention, the confidence, the scores and the time, where known."""
    if record.manifest.attention:
        yield _attention_table(record)
    if record.manifest.intervals_ml:
        yield _confidence_table(record)
    if scores:
        yield _score_table(record, scores)
    if record.manifest.stages:
        row = ["seconds", *(f"{seconds:.2f}" for seconds in record.manifest.stages.values())]
        yield {
            "caption": "Time",
            "about": "",
            "head": ["stage", *record.manifest.stages],
            "rows": [row],
            "tip": "Seconds that this stage of the segmentation took.",
        }


def _attention_table(record: Record) -> Dict:
    labels = [
        *dict.fromkeys(
            label for gate in record.manifest.attention.values() for label in _shares(gate)
        )
    ]
    head = ["level", "mean", "in labels", "elsewhere", "looked at", "below 0.01", "above 0.99"]
    head += ["entropy, bits", *(f"share in {record.manifest.named(label)}" for label in labels)]
    rows = [
        [
            level,
            *(_number(gate.get(key), ".3f") for key in ("mean", "inside", "outside")),
            *(_number(gate.get(key), ".1%") for key in ("seen", "dead", "saturated")),
            _number(gate.get("entropy"), ".3f"),
            *(_number(_shares(gate).get(label), ".1%") for label in labels),
        ]
        for level, gate in sorted(record.manifest.attention.items())
    ]
    return {"caption": "Attention", "about": ABOUT_ATTENTION, "head": head, "rows": rows}


def _confidence_table(record: Record) -> Dict:
    about = [
        f"{name} {value:g}"
        for name, value in record.manifest.confidence.items()
        if name in ("temperature", "views")
    ]
    rows = [
        (
            name,
            _number(record.volumes_ml.get(name), ".1f"),
            f"{low:.1f}",
            f"{high:.1f}",
            f"{record.manifest.rates[name]:.0%} of volumes in scans like the calibration's"
            if name in record.manifest.rates
            else UNKNOWN_RATE,
        )
        for name, (low, high) in record.manifest.intervals_ml.items()
    ]
    head = ("label", "volume, ml", "from", "to", "made to hold")
    return {"caption": "Confidence", "about": ", ".join(about), "head": head, "rows": rows}


def _score_table(record: Record, scores: list[CaseScore]) -> Dict:
    head = (
        "label",
        "Dice",
        "precision",
        "recall",
        "MSD, mm",
        "HD95, mm",
        "NSD 2 mm",
        "reference, ml",
        "error, ml",
    )
    rows = [
        (
            record.manifest.named(score.label),
            *(_number(value, ".3f") for value in (score.dice, score.precision, score.recall)),
            _number(score.surface_distance_mm, ".2f"),
            _number(score.hd95_mm, ".2f"),
            _number(score.nsd_2mm, ".3f"),
            f"{score.reference_ml:.1f}",
            f"{score.volume_error_ml:+.1f}",
        )
        for score in scores
    ]
    return {"caption": "Against the reference", "about": "", "head": head, "rows": rows}


def _shares(gate: Dict) -> Dict:
    shares = gate.get("shares")
    return shares if isinstance(shares, dict) else {}


def _number(value: Any, form: str) -> str:
    known = number(value)
    return ABSENT if known is None else f"{known:{form}}"
