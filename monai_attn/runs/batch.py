"""Segmentation of many scans, one after the other; an error in one does not stop the others."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_attn.inference.result_checks import check_words
from monai_attn.inference.segmenter import OnWindow, Segmentation, Segmenter
from monai_attn.io.dicom.segmentation import check_installed, write_dicom_seg
from monai_attn.io.dicom.segmentation import check_replaceable as check_dicom_seg
from monai_attn.io.errors import case_error, collect_warnings
from monai_attn.io.files import folder_lock
from monai_attn.io.names import (
    attention_path,
    case_name,
    check_length,
    dicom_seg_path,
    entropy_path,
    real_path,
)
from monai_attn.io.volume import scan_files, scan_sha256
from monai_attn.io.writer import write_labels, write_map
from monai_attn.runs.manifest import check_replaceable as check_manifest
from monai_attn.runs.manifest import find_earlier_result, manifest_started, write_manifest

Case = tuple[Path, Path]  # a scan, and the path of its label map
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseResult:
    """The result of segmenting one scan.

    Attributes:
        scan: the file, or the DICOM folder.
        target: its label map. It exists, with its manifest, which is written last, unless `error` is set.
        volumes_ml: the volume of each label found in it, in ml.
        fallback: reason why a run in focus mode became a full run, or empty.
        warnings: the doubts about the scan, one line each that names it.
        error: reason why there is no label map, in one line, or empty.
        kept: whether an existing label map was complete and up to date, and was not made again.
        seconds: duration.
        intervals_ml: the lowest and the highest plausible volume of each label, if requested.
        check: the failed checks of its labels, in one line, or empty.
    """

    scan: Path
    target: Path
    volumes_ml: dict[int, float] = field(default_factory=dict)
    fallback: str = ""
    warnings: tuple[str, ...] = ()
    error: str = ""
    kept: bool = False
    seconds: float = 0.0
    intervals_ml: dict[int, tuple[float, float]] = field(default_factory=dict)
    check: str = ""

    @property
    def name(self) -> str:
        """The case's name."""
        return case_name(self.scan)

    @property
    def status(self) -> str:
        """The result in one word: failed, check, kept or segmented."""
        if self.error:
            return "failed"
        return "check" if self.check else "kept" if self.kept else "segmented"

    def packed(self) -> str:
        """Return the result as JSON, for another rank."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def unpacked(cls, text: str) -> CaseResult:
        """Return the result from the JSON text of `packed`."""
        fields = json.loads(text)
        return cls(
            **{
                **fields,
                "scan": Path(fields["scan"]),
                "target": Path(fields["target"]),
                "volumes_ml": {int(label): ml for label, ml in fields["volumes_ml"].items()},
                "warnings": tuple(fields["warnings"]),
                "intervals_ml": {
                    int(label): (low, high) for label, (low, high) in fields["intervals_ml"].items()
                },
            }
        )


def segment_files(
    segmenter: Segmenter,
    targets: Mapping[Path, Path],
    on_window: OnWindow | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    strict: bool = False,
    dicom_seg: Mapping[int, str] | None = None,
    take: Callable[[Sequence[Case]], Iterator[Case]] = iter,
) -> Iterator[CaseResult]:
    """Segment each scan and write its labels; yield each result as soon as it is complete.

    Next to each label map a manifest is written, a JSON file that records how the map was made, and maps
    of the attention of each gate and of the entropy, if the segmenter returns them: 0 to 1, below 0 where
    no window ran.

    Args:
        segmenter: the segmenter that labels a scan.
        targets: the scans, and the path of the label map of each.
        on_window: as for `Segmenter`.
        settings: settings of the bundle, the backend and the options, for the manifests.
        resume: keep an intact label map that was made of the same scan with the same settings.
        strict: treat doubts about a scan as errors. Failed checks of labels are not errors.
        dicom_seg: the names of the labels, to write them as DICOM SEG too; for DICOM series only.
        take: iterator over the cases of this process; all cases by default.
    """
    if dicom_seg:
        check_installed()
    run = _Run(
        segmenter,
        on_window,
        {**(settings or {}), "dicom_seg": bool(dicom_seg)},
        resume,
        strict,
        dicom_seg or {},
    )
    scans = {real_path(scan) for scan in targets}
    for target in targets.values():
        maps = [attention_path(target, level) for level in segmenter.levels]
        maps += [entropy_path(target)] if segmenter.uncertainty else []
        for path in maps:
            if real_path(path) in scans:
                kind = "entropy" if path == entropy_path(target) else "attention"
                raise ValueError(
                    f"{path}: is a scan, and an {kind} map would replace it; choose another output"
                )
    for scan, target in take(list(targets.items())):
        start, doubts = time.perf_counter(), []
        try:
            with collect_warnings(strict) as doubts:
                result = run(scan, target, doubts)
        except Exception as error:  # a scan or a bundle's code can raise anything
            log.debug("%s", scan, exc_info=True)
            why = case_error(scan, error)
            if target.exists():
                why += " (labels of an earlier run were left)"
            result = CaseResult(scan, target, error=why, warnings=tuple(doubts))
        yield replace(result, seconds=time.perf_counter() - start)


@dataclass(frozen=True)
class _Run:
    """The settings that all cases of a run share."""

    segmenter: Segmenter
    on_window: OnWindow | None
    settings: Mapping[str, Any]
    resume: bool
    strict: bool
    dicom_seg: Mapping[int, str]

    def __call__(self, scan: Path, target: Path, doubts: list[str]) -> CaseResult:
        """Segment a scan and write its files, or keep a label map that is up to date."""
        self._check(scan, target)
        digest = scan_sha256(scan, series=self.segmenter.series)
        kept = find_earlier_result(target, self.settings, digest) if self.resume else None
        if kept and not (self.strict and kept.warnings):  # else refused as in a first run
            return CaseResult(
                scan,
                target,
                kept.volumes_ml,
                kept.fallback,
                kept.warnings,
                kept=True,
                intervals_ml=kept.intervals_ml,
                check=kept.check,
            )
        made = self.segmenter(scan, self.on_window)
        volumes = {label: round(ml, 3) for label, ml in made.volumes_ml.items()}
        names = {int(label): name for label, name in self.settings.get("labels", {}).items()}
        check = check_words(made.failed_checks, names)
        start = time.perf_counter()
        # locked: otherwise this manifest could vouch for files of another run
        with folder_lock(target.parent), manifest_started(target, scan):
            files = list(self._write(scan, target, made))
            made.seconds["write"] = time.perf_counter() - start
            write_manifest(
                target,
                made,
                self.settings,
                scan_sha256=digest,
                files=files,
                warnings=doubts,
                check=check,
            )
        fallback = made.plan.fallback if made.plan else ""
        intervals = {
            label: (round(low, 3), round(high, 3))
            for label, (low, high) in made.intervals_ml.items()
        }
        return CaseResult(
            scan, target, volumes, fallback, tuple(doubts), intervals_ml=intervals, check=check
        )

    def _check(self, scan: Path, target: Path) -> None:
        """Check that all files can be written, before the work starts."""
        check_length(target, self.segmenter.levels, entropy=self.segmenter.uncertainty)
        check_manifest(target)
        if self.dicom_seg:
            check_dicom_seg(dicom_seg_path(target))
            if not scan.is_dir():
                raise ValueError(
                    f"{scan}: no DICOM series, to which a DICOM SEG could refer; leave out --dicom-seg"
                )

    def _write(self, scan: Path, target: Path, made: Segmentation) -> Iterator[Path]:
        """Write the files one after the other, the labels last; yield their paths."""
        if self.dicom_seg:
            slices = scan_files(scan, series=self.segmenter.series)
            path, version = dicom_seg_path(target), str(self.settings.get("monai_attn", "unknown"))
            yield write_dicom_seg(
                path, made.labels, made.scan, slices, self.dicom_seg, version=version
            )
        for level, attention in made.attention.items():
            path = attention_path(target, level)
            yield write_map(path, attention, made.scan)
        if made.entropy is not None:
            path = entropy_path(target)
            yield write_map(path, made.entropy, made.scan)
        yield write_labels(target, made.labels, like=made.scan)
