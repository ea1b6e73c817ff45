"""The manifest of a label map: its origin and settings, and the check that it is up to date."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_attn.datasets.regions import Regions, read_regions
from monai_attn.io.dicom.series_path import scan_exists
from monai_attn.io.files import atomic_write, sha256_of
from monai_attn.io.names import MAP, case_name, dicom_seg_path, manifest_path
from monai_attn.metrics.attention_numbers import gate_numbers
from monai_attn.metrics.volume_intervals import RATE
from monai_attn.runs.json_values import (
    DAMAGED,
    Json,
    dict_of,
    label_names,
    number,
    numbers_of,
    pair_of,
    text_of,
    texts_of,
)

if TYPE_CHECKING:
    from monai_attn.inference.segmentation import Segmentation
    from monai_attn.inference.window_plan import WindowPlan

SUFFIX = ".manifest.json"
MISSING = "missing_files"  # reasons why files are missing that were asked for
EXTRA = "extra_files_sha256"  # files made from the label map, without which it is complete


def write_manifest(
    target: Path,
    result: Segmentation,
    settings: Mapping[str, Any],
    *,
    scan_sha256: str,
    files: Iterable[Path],
    warnings: Iterable[str] = (),
    check: str = "",
    channels: Mapping[str, str] | None = None,
) -> Path:
    """Write the manifest of a label map, completely or not at all.

    Args:
        target: the label map.
        result: the segmentation in the label map.
        settings: settings of the bundle, the backend and the options.
        scan_sha256: SHA-256 of the scan.
        files: the label map and the files written next to it.
        warnings: the doubts about the scan.
        check: the failed checks of the labels, in one line.
        channels: the file of each channel by its name, unless the scan is one CT.
    """
    content = {
        "scan": scan_name(result.scan.path),
        "scan_sha256": scan_sha256,
        **({"channels": dict(channels)} if channels else {}),
        "files_sha256": {file.name: sha256_of(file) for file in files},
        "settings": dict(settings),
        **(_windows(result.plan) if result.plan else {}),
        "volumes_ml": {str(label): round(ml, 3) for label, ml in result.volumes_ml.items()},
        **({"attention": _attention(result)} if result.attention else {}),
        **_confidence(result),
        "pieces": {str(label): asdict(pieces) for label, pieces in result.pieces.items()},
        "check": check,
        "failed_checks": [asdict(one) for one in result.failed_checks],
        "warnings": list(warnings),
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
    }
    return _write(manifest_path(target), content)


def _write(path: Path, content: Json) -> Path:
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
    return path


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest, as far as it is valid: it may have been written by any program.

    Attributes:
        content: the JSON object of the file.
    """

    content: Json = field(default_factory=dict)

    @cached_property
    def settings(self) -> Json:
        """Settings of the bundle, the backend and the options."""
        return dict_of(self.content.get("settings"))

    @cached_property
    def channels(self) -> Json:
        """The file of each channel by its name; empty for a single channel."""
        return dict_of(self.content.get("channels"))

    @cached_property
    def label_names(self) -> dict[int, str]:
        """The name of each label."""
        return label_names(self.settings)

    @cached_property
    def regions(self) -> Regions | None:
        """The regions, if labels overlap."""
        try:
            return read_regions(self.settings.get("regions"))
        except ValueError:
            return None

    @property
    def mode(self) -> str:
        """Mode: `full` if all windows of the body ran, `focus` for only those the locator points to."""
        return text_of(self.content.get("mode")) or text_of(self.settings.get("mode"))

    @property
    def fallback(self) -> str:
        """Reason why a run in focus mode became a full one, or an empty text."""
        return text_of(self.content.get("fallback"))

    @cached_property
    def windows(self) -> str:
        """Number of windows that ran and in all, such as `9 of 40`, or an empty text."""
        windows = dict_of(self.content.get("windows"))
        run, total = number(windows.get("run")), number(windows.get("in_all"))
        return "" if run is None or total is None else f"{run:.0f} of {total:.0f}"

    @cached_property
    def stages(self) -> dict[str, float]:
        """The seconds of each stage."""
        return numbers_of(self.content.get("seconds"))

    @cached_property
    def attention(self) -> dict[str, Json]:
        """The numbers of each gate, by its level."""
        gates = dict_of(self.content.get("attention"))
        return {level: dict_of(gate) for level, gate in gates.items() if dict_of(gate)}

    @cached_property
    def intervals_ml(self) -> dict[str, tuple[float, float]]:
        """The interval of each label's volume, by the label's name."""
        found = {}
        for label, ends in dict_of(
            dict_of(self.content.get("confidence")).get("intervals_ml")
        ).items():
            low, high = pair_of(ends)
            if low is not None and high is not None:
                found[self.named(label)] = (low, high)
        return found

    @cached_property
    def rates(self) -> dict[str, float]:
        """Part of the true volumes that the intervals of a label hold, by its name, where known."""
        rates = numbers_of(dict_of(self.content.get("confidence")).get("rate"))
        return {self.named(label): rate for label, rate in rates.items()}

    @cached_property
    def confidence(self) -> dict[str, float]:
        """The numbers of the confidence, such as `temperature` and `views`."""
        return numbers_of(self.content.get("confidence"))

    @cached_property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file that the run wrote, by its name."""
        files = dict_of(self.content.get("files_sha256"))
        return {name: text_of(digest) for name, digest in files.items()}

    def named(self, label: int | str) -> str:
        """Return the name of a label."""
        try:
            return self.label_names.get(int(label), f"label {label}")
        except ValueError:
            return f"label {label}"

    @property
    def scan(self) -> Path | None:
        """The scan, if it had a file."""
        path = text_of(self.content.get("scan"))
        return Path(path) if path else None

    @property
    def scan_sha256(self) -> str:
        """The SHA-256 of the scan."""
        return text_of(self.content.get("scan_sha256"))

    @property
    def volumes_ml(self) -> dict[str, float]:
        """The volume of each label by its name, 0 for a label that was not found."""
        volumes = numbers_of(self.content.get("volumes_ml"))
        named = {name: volumes.pop(str(label), 0.0) for label, name in self.label_names.items()}
        return named | {f"label {label}": ml for label, ml in volumes.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about the scan."""
        return texts_of(self.content.get("warnings"))

    @property
    def missing(self) -> tuple[str, ...]:
        """Reasons why files are missing that were asked for next to the label map, one line each."""
        return texts_of(self.content.get(MISSING))

    @property
    def check(self) -> str:
        """The failed checks of the labels, in one line, or an empty text."""
        return text_of(self.content.get("check"))


def read_manifest(target: Path) -> tuple[Manifest, str]:
    """Return the manifest of a label map and an empty text, or an empty one and its fault, in one line."""
    path = manifest_path(target)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if target.name in content["files_sha256"]:
            return Manifest(content), ""
        why = "lists no label map, because the run was stopped"
    except DAMAGED:
        why = "is missing or damaged"
    return (
        Manifest(),
        f"{path}: {why}; neither maps nor numbers are shown. Move it and the label map away, and "
        "segment the scan again",
    )


@contextmanager
def manifest_started(target: Path, scan: Path) -> Iterator[None]:
    """Enclose the writing of a label map, and of its manifest as the last file.

    Meanwhile a manifest without checksums replaces an older one: a label map that a killed run leaves is
    recognised as one, and is not kept. Maps, a DICOM SEG and extra files that the older manifest lists are
    deleted, since they would be mistaken for those of the new labels.
    """
    path = manifest_path(target)
    earlier = _beside(target)
    with atomic_write(path) as begun:
        begun.write((json.dumps({"scan": scan_name(scan), "files_sha256": {}}) + "\n").encode())
    for file in earlier:
        file.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        if not target.exists():
            path.unlink(missing_ok=True)
        raise


def scan_name(path: Path) -> str:
    """Return the absolute path of a scan; empty for a scan that was in memory, and has no file."""
    in_memory = not path.is_absolute() and not scan_exists(path)  # then it is only a name
    return "" if in_memory else str(path.absolute())


def add_extra_files(target: Path, *files: Path) -> None:
    """List files that were made from a label map in its manifest."""
    path = manifest_path(target)
    content = json.loads(path.read_text(encoding="utf-8"))
    digests = {file.name: sha256_of(file) for file in files}
    content[EXTRA] = dict_of(content.get(EXTRA)) | digests
    _write(path, content)


def note_missing(target: Path, lines: Iterable[str]) -> None:
    """Note in a label map's manifest why files are missing that were asked for; nothing for none."""
    path = manifest_path(target)
    content = json.loads(path.read_text(encoding="utf-8"))
    lines = list(lines)
    if lines != content.get(MISSING, []):
        _write(path, {**content, MISSING: lines})


def lists_extra_file(target: Path, file: Path) -> bool:
    """Check whether a label map's manifest lists a file that was made from it, and it is unchanged."""
    try:
        content = json.loads(manifest_path(target).read_text(encoding="utf-8"))
        return content[EXTRA][file.name] == sha256_of(file)
    except DAMAGED:
        return False


def _beside(target: Path) -> list[Path]:
    """Return the unchanged maps, DICOM SEG and extra files that the manifest of a label map lists."""
    seg = dicom_seg_path(target).name
    try:
        content = json.loads(manifest_path(target).read_text(encoding="utf-8"))
        files, extra = content["files_sha256"], dict_of(content.get(EXTRA))
        beside = {
            target.with_name(name): files[name]
            for name in files
            if name == seg or MAP.search(case_name(name))
        }
        beside |= {target.with_name(name): digest for name, digest in extra.items()}
        return [file for file in beside if file.is_file() and sha256_of(file) == beside[file]]
    except DAMAGED:
        return []  # the manifest is missing or damaged


def _attention(result: Segmentation) -> dict[str, Any]:
    """Summarise the attention of each gate, compared with the labels."""
    return {
        str(level): gate_numbers(stored, result.labels, result.regions).summary()
        for level, stored in result.attention.items()
    }


def _confidence(result: Segmentation) -> dict[str, Any]:
    """Return the calibration behind entropy and intervals, if there are any, and the intervals."""
    found: dict[str, Any] = {"temperature": result.confidence.temperature}
    if result.views_ml:
        factors, intervals = result.confidence.factors, result.intervals_ml
        found["views"] = len(result.views_ml)
        found["rate"] = {
            str(label): RATE if label in factors and result.views_ml[0].get(label) else None
            for label in intervals
        }
        found["intervals_ml"] = {
            str(label): [round(ml, 3) for ml in ends] for label, ends in intervals.items()
        }
    used = result.views_ml or result.entropy is not None or result.probabilities is not None
    return {"confidence": found} if used else {}


def _windows(plan: WindowPlan) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "fallback": plan.fallback,
        "windows": {"in_all": plan.total, "run": len(plan.windows), "skipped": dict(plan.skipped)},
        "roi_size": list(plan.roi_size),
        "grid": list(plan.grid),
    }
