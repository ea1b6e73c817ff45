"""A run: scans are listed, segmented by one process or several, and summarised in the output folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

from monai_attn.distributed.work_queue import WorkQueue
from monai_attn.inference.segmenter import Segmenter
from monai_attn.inference.watched_network import OnWindow
from monai_attn.io.channels import Image
from monai_attn.io.files import make_writable
from monai_attn.runs.batch import CaseResult, segment_files
from monai_attn.runs.extra_files import ExtraFile
from monai_attn.runs.json_values import label_names
from monai_attn.runs.statistics import (
    STATISTICS,
    check_statistics_table,
    write_statistics_table,
)
from monai_attn.runs.summary import Summary


def segment_targets(
    segmenter: Segmenter,
    targets: Mapping[Image, Path],
    folder: Path | None,
    *,
    resume: bool = False,
    strict: bool = False,
    dicom_seg: bool = False,
    extras: Sequence[ExtraFile] = (),
    queue: WorkQueue | None = None,
    on_window: OnWindow | None = None,
    segment: Callable[..., Iterator[CaseResult]] = segment_files,
) -> Iterator[CaseResult]:
    """Segment scans, and yield each result as soon as it is complete: on the first process those of all.

    Args:
        segmenter: the segmenter that labels a scan.
        targets: the scans, or the files of a scan's channels, and the path of the label map of each.
        folder: folder whose `summary.json` and `summary.csv` list the cases, if there is one.
        resume: as for `segment_files`.
        strict: as for `segment_files`.
        dicom_seg: as for `segment_files`.
        extras: as for `segment_files`.
        queue: the work queue that several processes share.
        on_window: as for `Segmenter`.
        segment: segments the scans, with the arguments of `segment_files`.

    Raises:
        ValueError: if a folder cannot be written to, or a file that is no summary would be replaced.
    """
    queue = queue or WorkQueue()
    for parent in {target.parent for target in targets.values()}:
        make_writable(parent)
    if folder and STATISTICS in extras:
        check_statistics_table(folder)
    settings = segmenter.settings
    # before the first label map is written, every process has listed the scans
    listed = sha256("\n".join(map(ascii, targets)).encode()).hexdigest()[:12]
    queue.agree({"scans": len(targets), "scans_sha256": listed, **settings})
    summary = None
    if folder and queue.first:
        summary = Summary(folder, targets, label_names(settings), settings, resume=resume)
    with summary or nullcontext():
        results = segment(
            segmenter,
            targets,
            on_window,
            resume=resume,
            strict=strict,
            dicom_seg=dicom_seg,
            extras=extras,
            take=queue.take,
        )
        for text in queue.gather((result.packed() for result in results), len(targets)):
            result = CaseResult.unpacked(text)
            if summary:
                summary.add(result)
            yield result
    if folder and queue.first and STATISTICS in extras:
        write_statistics_table(folder, targets.values())
