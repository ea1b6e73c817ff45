"""Segmentation of many scans, one after the other; an error in one does not stop the others."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_attn.datasets.scan_names import name_of_result
from monai_attn.inference.result_checks import check_words
from monai_attn.inference.segmentation import Segmentation
from monai_attn.inference.segmenter import Segmenter
from monai_attn.inference.watched_network import OnWindow
from monai_attn.io.channels import Image, channel_files, files_of
from monai_attn.io.dicom.segmentation import check_installed
from monai_attn.io.errors import case_error, collect_warnings, remedy_of
from monai_attn.io.names import map_paths, real_path
from monai_attn.io.scan import Scan
from monai_attn.runs.case_files import write_case
from monai_attn.runs.dicom_files import DICOM_SEG
from monai_attn.runs.earlier_result import find_earlier_result
from monai_attn.runs.extra_files import ExtraFile, WrittenCase, write_extra_files
from monai_attn.runs.json_values import label_names
from monai_attn.runs.replaceable import NotReplacedError, check_outputs

Case = tuple[Image, Path]  # a scan, and the path of its label map
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseResult:
    """The result of segmenting one scan.

    Attributes:
        scan: the file, or the DICOM folder; of several channels the first.
        target: its label map. It exists, with its manifest, which is written last, unless `error` is set.
        volumes_ml: the volume of each label found in it, in ml.
        fallback: reason why a run in focus mode became a full run, or empty.
        warnings: the doubts about the scan, one line each that names it.
        error: reason why there is no label map, in one line, or empty.
        kept: whether an existing label map was complete and up to date, and was not made again.
        seconds: duration.
        intervals_ml: the lowest and the highest plausible volume of each label, if requested.
        check: the failed checks of its labels, in one line, or empty.
        remedy: the option in `error` that remedies it, such as `volume=N`, or empty.
        missing: reason why a file that was asked for next to the label map is missing, one line each.
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
    remedy: str = ""
    missing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The case's name."""
        return name_of_result(self.scan, self.target)

    @property
    def status(self) -> str:
        """The result in one word: failed, check, incomplete, kept or segmented."""
        if self.error:
            return "failed"
        if self.check:
            return "check"
        return "incomplete" if self.missing else "kept" if self.kept else "segmented"

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
                "missing": tuple(fields["missing"]),
                "intervals_ml": {
                    int(label): (low, high) for label, (low, high) in fields["intervals_ml"].items()
                },
            }
        )


def segment_files(
    segmenter: Segmenter,
    targets: Mapping[Image, Path],
    on_window: OnWindow | None = None,
    *,
    resume: bool = False,
    strict: bool = False,
    dicom_seg: bool = False,
    extras: Sequence[ExtraFile] = (),
    own: bool = False,
    take: Callable[[Sequence[Case]], Iterator[Case]] = iter,
) -> Iterator[CaseResult]:
    """Segment each scan and write its labels; yield each result as soon as it is complete.

    Next to each label map a manifest is written, a JSON file that records how the map was made, and maps
    of the attention of each gate and of the entropy, if the segmenter returns them: 0 to 1, below 0 where
    no window ran. The probabilities, if it returns them, are a file of four dimensions.

    Args:
        segmenter: the segmenter that labels a scan.
        targets: the scans, or the files of a scan's channels, and the path of the label map of each.
        on_window: as for `Segmenter`.
        resume: keep an intact label map that was made of the same scan with the same settings.
        strict: treat warnings about a scan as errors. Failed checks of labels are not errors.
        dicom_seg: write the labels as DICOM SEG too; for DICOM series only.
        extras: kinds of files to make of each scan and its label map. A label map that is kept gets those
            that are missing.
        own: whether the folder is the caller's own, so that whatever is there is replaced.
        take: iterator over the cases of this process; all cases by default.

    Raises:
        ValueError: if a map would replace a scan.
    """
    if dicom_seg:
        check_installed()
        extras = (DICOM_SEG, *extras)
    run = _Run(segmenter, on_window, resume, strict, tuple(extras), own)
    check_maps(segmenter, targets)
    for image, target in take(list(targets.items())):
        scan = files_of(image)[0]
        start, warnings = time.perf_counter(), []
        try:
            with collect_warnings(strict) as warnings:
                result = run(image, target, warnings)
        except Exception as error:  # a scan or a bundle's code can raise anything
            log.debug("%s", scan, exc_info=True)
            why = case_error(scan, error)
            # `Path.exists` raises for a name that is too long
            if os.path.exists(target) and not isinstance(error, NotReplacedError):  # noqa: PTH110
                why += " (the labels of an earlier run are still there)"
            result = CaseResult(
                scan, target, error=why, warnings=tuple(warnings), remedy=remedy_of(error)
            )
        yield replace(result, seconds=time.perf_counter() - start)


def check_maps(segmenter: Segmenter, targets: Mapping[Image, Path]) -> None:
    """Check that no map of a case would replace a scan.

    Raises:
        ValueError: if one would.
    """
    scans = {real_path(file) for image in targets for file in files_of(image)}
    for target in targets.values():
        for path in _map_paths(segmenter, target):
            if real_path(path) in scans:
                raise ValueError(
                    f"{path}: is a scan, and a map of {target} would replace it; choose another output"
                )


@dataclass(frozen=True)
class _Run:
    """The options that all cases of a run share."""

    segmenter: Segmenter
    on_window: OnWindow | None
    resume: bool
    strict: bool
    extras: tuple[ExtraFile, ...] = ()
    own: bool = False

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.segmenter.settings

    def __call__(self, image: Image, target: Path, warnings: list[str]) -> CaseResult:
        """Segment a scan and write its files, or keep a label map that is up to date."""
        scan = files_of(image)[0]
        self._check(scan, target)
        opened = self.segmenter.open(image)
        digest = opened.sha256  # before the work: a file that changes meanwhile shows
        earlier = find_earlier_result(target, self.settings, digest) if self.resume else None
        if earlier and not (self.strict and earlier.warnings):  # else refused as in a first run
            result = CaseResult(
                scan,
                target,
                earlier.volumes_ml,
                earlier.fallback,
                earlier.warnings,
                kept=True,
                intervals_ml=earlier.intervals_ml,
                check=earlier.check,
            )
        else:
            result = self._segment(opened, target, digest, warnings)
        if not self.extras:
            return result
        names = label_names(self.settings)
        case = WrittenCase(opened, target, names, self.segmenter.levels, self.settings)
        doubts, missing = write_extra_files(case, self.extras)
        return replace(result, warnings=(*result.warnings, *doubts), missing=tuple(missing))

    def _segment(self, opened: Scan, target: Path, digest: str, warnings: list[str]) -> CaseResult:
        """Segment a scan and write its label map, its maps and its manifest."""
        result = self.segmenter(opened, self.on_window)
        names = label_names(self.settings)
        check = check_words(result.failed_checks, names)
        write_case(
            target,
            result,
            self.settings,
            scan_sha256=digest,
            warnings=warnings,
            check=check,
            channels=channel_files(opened),
        )
        return case_result(opened.path, target, result, warnings, check)

    def _check(self, scan: Path, target: Path) -> None:
        """Check that all files can be written, before the work starts."""
        check_outputs(
            target,
            scan,
            self.segmenter.levels,
            entropy=self.segmenter.uncertainty,
            probabilities=self.segmenter.probabilities,
            own=self.own,
        )
        for extra in self.extras:
            extra.check_scan(scan)
            extra.check_replaceable(target)


def _map_paths(segmenter: Segmenter, target: Path) -> list[Path]:
    return map_paths(
        target,
        segmenter.levels,
        entropy=segmenter.uncertainty,
        probabilities=segmenter.probabilities,
    )


def case_result(
    scan: Path, target: Path, result: Segmentation, warnings: Sequence[str], check: str
) -> CaseResult:
    """Return the row of a run's summary for a segmentation that was written to `target`."""
    return CaseResult(
        scan,
        target,
        {label: round(ml, 3) for label, ml in result.volumes_ml.items()},
        result.plan.fallback if result.plan else "",
        tuple(warnings),
        seconds=sum(result.seconds.values()),
        intervals_ml={
            label: (round(low, 3), round(high, 3))
            for label, (low, high) in result.intervals_ml.items()
        },
        check=check,
    )
