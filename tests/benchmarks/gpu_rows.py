"""The rows that the parts of `gpu` yield, and the job that they share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        measure: name of the figure.
        value: the figure; None if there is none, and then `note` has the reason.
        unit: its unit.
        note: how it was measured, or the reason why there is no figure.
        target: the target of the project for it.
    """

    measure: str
    value: float | None
    unit: str = ""
    note: str = ""
    target: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the row for a JSON file, without empty entries."""
        return {
            key: value
            for key, value in asdict(self).items()
            if value not in ("",) and (key == "value" or value is not None)
        }


@dataclass(frozen=True)
class Job:
    """The settings that all parts share.

    Attributes:
        device: "cuda" or "cpu".
        folder: folder for files of all parts; the scan is `scan.nii.gz` in it.
        quick: small sizes, to test the script.
        nnunet: folder `bin` of an environment with nnU-Net, or None.
    """

    device: str
    folder: Path
    quick: bool = False
    nnunet: Path | None = None

    @property
    def scan(self) -> Path:
        """The scan to segment."""
        return self.folder / "scan.nii.gz"

    @property
    def on_gpu(self) -> bool:
        """True on a GPU."""
        return self.device.startswith("cuda")

    @property
    def repeats(self) -> int:
        """Number of measurements of each figure."""
        return 1 if self.quick else 3


def reason(error: BaseException) -> str:
    """Return an error in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


def each(values: Iterable[float]) -> str:
    """Return single figures, for the note of their median."""
    return "each: " + ", ".join(f"{value:.3g}" for value in values)


def median_row(measure: str, values: list[float], unit: str, target: str = "") -> Row:
    """Return a row with the median of figures."""
    return Row(measure, median(values), unit, each(values), target)


def synchronize(device: str) -> None:
    """Wait until a GPU has finished."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def device_peak_rows(job: Job, name: str) -> list[Row]:
    """Return the peak memory of the GPU since it was reset: what tensors took, and what torch held."""
    if not job.on_gpu:
        return [Row(f"{name}, peak device memory", None, "MiB", "not applicable: no GPU")]
    return [
        Row(
            f"{name}, peak device memory",
            torch.cuda.max_memory_allocated() / 2**20,
            "MiB",
            "tensors",
        ),
        Row(f"{name}, peak device memory held", torch.cuda.max_memory_reserved() / 2**20, "MiB"),
    ]
