"""Many scans, one after the other: what goes wrong with one does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monai_attn.data.errors import reason
from monai_attn.data.volume import case_name, write_labels
from monai_attn.inference.segment import OnWindow, Segmenter


@dataclass(frozen=True)
class CaseResult:
    """What became of one scan.

    Attributes:
        scan: the file.
        target: its label map, written unless there is an `error`.
        volumes_ml: the volume of each label found in it, in ml.
        error: one line that says why there is no label map, or empty.
    """

    scan: Path
    target: Path
    volumes_ml: dict[int, float] = field(default_factory=dict)
    error: str = ""

    @property
    def name(self) -> str:
        """The case's name."""
        return case_name(self.scan)


def segment_files(
    segmenter: Segmenter, targets: Mapping[Path, Path], on_window: OnWindow | None = None
) -> Iterator[CaseResult]:
    """Segment each scan and write its labels, yielding each result when it is there.

    Args:
        segmenter: what makes labels of a scan.
        targets: the scans, and where the labels of each go.
        on_window: as for `Segmenter`.
    """
    for scan, target in targets.items():
        try:
            result = segmenter(scan, on_window)
            write_labels(target, result.labels, like=result.scan)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            why = reason(error)
            yield CaseResult(scan, target, error=why if str(scan) in why else f"{scan}: {why}")
            continue
        yield CaseResult(scan, target, result.volumes_ml)
