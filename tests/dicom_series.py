"""A series as the index of a folder describes it, for tests that need no files."""

from dataclasses import replace
from pathlib import Path

from monai_attn.io.dicom.series_index import Series

ROOT = Path("p/study")
SERIES = Series(
    path=ROOT / "s1",
    uid="1.1",
    modality="CT",
    patient="P",
    study="1",
    description="",
    number=5,
    acquired="20260101120000",
    slices=100,
    spacing=2.5,
    plane="axial",
    localizer=False,
    derived=False,
    contrast=False,
    fault="",
)


def other(name="s2", **changes):
    return replace(SERIES, path=ROOT / name, uid=f"1.{name}", **changes)
