"""Many scans, one after the other: what goes wrong with one does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_attn.data.errors import case_error
from monai_attn.data.volume import case_name, write_labels, write_map
from monai_attn.inference.manifest import manifest_path, write_manifest
from monai_attn.inference.segment import OnWindow, Segmenter

CASE_ERRORS = (ValueError, OSError, RuntimeError, MemoryError)  # they end one case and not the run
SLOPE = 1 / 254  # bytes 1 to 255 are 0 to 1; byte 0, nothing was looked at, is below 0


def attention_path(target: Path, level: int) -> Path:
    """Where the attention of a level lies beside a label map: `NAME_attention_1.nii.gz`."""
    name = case_name(target)
    suffix = target.name[len(name) :]
    return target.with_name(f"{name.removesuffix('_seg')}_attention_{level}{suffix}")


@dataclass(frozen=True)
class CaseResult:
    """What became of one scan.

    Attributes:
        scan: the file.
        target: its label map. It and its manifest, which is written last, are there unless there is an
            `error`.
        volumes_ml: the volume of each label found in it, in ml.
        fallback: why a run in focus mode became a full one, or empty.
        error: one line that says why there is no label map, or empty.
    """

    scan: Path
    target: Path
    volumes_ml: dict[int, float] = field(default_factory=dict)
    fallback: str = ""
    error: str = ""

    @property
    def name(self) -> str:
        """The case's name."""
        return case_name(self.scan)


def segment_files(
    segmenter: Segmenter,
    targets: Mapping[Path, Path],
    on_window: OnWindow | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[CaseResult]:
    """Segment each scan and write its labels, yielding each result when it is there.

    Beside each label map lies a manifest, a JSON file of its name: how the map was made; and the
    attention of each gate, if the segmenter gives it: 0 to 1, below 0 where nothing was looked at.

    Args:
        segmenter: what makes labels of a scan.
        targets: the scans, and where the labels of each go.
        on_window: as for `Segmenter`.
        settings: what the manifests say of the bundle and the backend.
    """
    scans = {scan.resolve() for scan in targets}
    for target in targets.values():
        for level in segmenter.levels:
            if attention_path(target, level).resolve() in scans:
                raise ValueError(
                    f"{attention_path(target, level)}: is a scan, and an attention map would replace it; "
                    "choose another output"
                )
    for scan, target in targets.items():
        try:
            result = segmenter(scan, on_window)
            start = time.perf_counter()
            manifest_path(target).unlink(missing_ok=True)  # of older labels; the new one comes last
            for level, attention in result.attention.items():
                path = attention_path(target, level)
                write_map(path, attention, result.scan, slope=SLOPE, intercept=-SLOPE)
            write_labels(target, result.labels, like=result.scan)
            result.seconds["write"] = time.perf_counter() - start
            write_manifest(target, result, settings or {})
        except CASE_ERRORS as error:
            yield CaseResult(scan, target, error=case_error(scan, error))
            continue
        fallback = result.plan.fallback if result.plan else ""
        yield CaseResult(scan, target, result.volumes_ml, fallback)
