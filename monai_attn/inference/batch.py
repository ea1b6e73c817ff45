"""Many scans, one after the other: what goes wrong with one does not stop the others."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_attn.data.errors import case_error, noted_doubts
from monai_attn.data.files import alone_in
from monai_attn.data.names import (
    attention_path,
    case_name,
    check_length,
    dicom_seg_path,
    entropy_path,
    real_path,
)
from monai_attn.data.volume import scan_files, scan_sha256
from monai_attn.data.writer import write_labels, write_map
from monai_attn.dicom_seg import check_installed, write_dicom_seg
from monai_attn.dicom_seg import check_replaceable as check_dicom_seg
from monai_attn.inference.manifest import check_replaceable as check_manifest
from monai_attn.inference.manifest import find_kept, manifest_begun, write_manifest
from monai_attn.inference.result_checks import check_words
from monai_attn.inference.segment import OnWindow, Segmentation, Segmenter

Case = tuple[Path, Path]  # a scan, and where its labels go
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseResult:
    """What became of one scan.

    Attributes:
        scan: the file, or the DICOM folder.
        target: its label map. It and its manifest, which is written last, are there unless there is an
            `error`.
        volumes_ml: the volume of each label found in it, in ml.
        fallback: why a run in focus mode became a full one, or empty.
        warnings: what is doubtful about the scan, a line each that names it.
        error: one line that says why there is no label map, or empty.
        kept: whether the label map was there, whole and up to date, and was left as it was.
        seconds: how long it took.
        intervals_ml: the lowest and the highest plausible volume of each label, if they were asked for.
        check: what is not as expected of its labels, in one line, or empty.
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
        """What became of it, in a word."""
        if self.error:
            return "failed"
        return "check" if self.check else "kept" if self.kept else "segmented"

    def packed(self) -> str:
        """The result as JSON, for another rank."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def unpacked(cls, text: str) -> CaseResult:
        """The result that `packed` made the text of."""
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
    """Segment each scan and write its labels, yielding each result when it is there.

    Beside each label map lies a manifest, a JSON file of its name: how the map was made; and the
    attention of each gate and the entropy, if the segmenter gives them: 0 to 1, below 0 where nothing was
    looked at.

    Args:
        segmenter: what makes labels of a scan.
        targets: the scans, and where the labels of each go.
        on_window: as for `Segmenter`.
        settings: what the manifests say of the bundle, the backend and the options.
        resume: keep a label map that was made of the same scan with the same settings, and is unharmed.
        strict: refuse a scan about which anything is doubtful. Labels that are to be checked are no reason.
        dicom_seg: the names of the labels, to write them as DICOM SEG too; for DICOM series alone.
        take: which of the cases are this process's, and when; all of them by default.
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
            with noted_doubts(strict) as doubts:
                result = run(scan, target, doubts)
        except Exception as error:  # a case, or a bundle's code, can raise anything
            log.debug("%s", scan, exc_info=True)
            why = case_error(scan, error)
            if target.exists():
                why += " (labels of an earlier run were left)"
            result = CaseResult(scan, target, error=why, warnings=tuple(doubts))
        yield replace(result, seconds=time.perf_counter() - start)


@dataclass(frozen=True)
class _Run:
    """What does not change from case to case."""

    segmenter: Segmenter
    on_window: OnWindow | None
    settings: Mapping[str, Any]
    resume: bool
    strict: bool
    dicom_seg: Mapping[int, str]

    def __call__(self, scan: Path, target: Path, doubts: list[str]) -> CaseResult:
        """Segment a scan and write what there is to write, or keep what is there."""
        self._check(scan, target)
        digest = scan_sha256(scan, series=self.segmenter.series)
        kept = find_kept(target, self.settings, digest) if self.resume else None
        if kept and not (self.strict and kept.warnings):  # then it is refused as in a first run
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
        # alone, or files of another run could come under this one's manifest
        with alone_in(target.parent), manifest_begun(target, scan):
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
        """See that what is to be written can be, before the work."""
        check_length(target, self.segmenter.levels, entropy=self.segmenter.uncertainty)
        check_manifest(target)
        if self.dicom_seg:
            check_dicom_seg(dicom_seg_path(target))
            if not scan.is_dir():
                raise ValueError(
                    f"{scan}: no DICOM series, to which a DICOM SEG could refer; leave out --dicom-seg"
                )

    def _write(self, scan: Path, target: Path, made: Segmentation) -> Iterator[Path]:
        """Write the files one after the other, the labels last; which they are."""
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
