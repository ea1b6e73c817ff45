"""Extra files of a case, made from its scan and its label map: a preview, statistics, DICOM.

They follow from the files of the case. So they are made for a label map that `resume` keeps too, and the
manifest lists them apart from the files that the network made.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_attn.io.dicom.series_path import folder_of
from monai_attn.io.errors import OptionError, case_error, collect_warnings
from monai_attn.io.folder_lock import folder_lock
from monai_attn.io.map_encoding import INTERCEPT, SLOPE
from monai_attn.io.names import attention_path, labels_name
from monai_attn.io.scan import Scan
from monai_attn.io.volume import Volume
from monai_attn.runs.manifest import add_extra_files, lists_extra_file, note_missing

MARK_WITHIN = 512  # bytes from the beginning of a file


@dataclass(frozen=True)
class WrittenCase:
    """A scan and the files that a run wrote of it, each read when it is first asked for.

    Attributes:
        scan: the scan.
        target: its label map.
        names: the name of each label.
        levels: the levels whose attention was written.
        settings: settings of the bundle, the backend and the options.
    """

    scan: Scan
    target: Path
    names: Mapping[int, str] = field(default_factory=dict)
    levels: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def volume(self) -> Volume:
        """The voxels of the scan; its doubts are in the manifest."""
        with collect_warnings():
            return self.scan.read()

    @cached_property
    def labels(self) -> NDArray[np.integer]:
        """The label map (X, Y, Z)."""
        return np.asarray(nib.load(self.target).dataobj).reshape(self.scan.grid.shape)

    @cached_property
    def attention(self) -> NDArray[np.float32] | None:
        """The attention (X, Y, Z) of the finest gate, NaN where no window ran; None without maps."""
        if not self.levels:
            return None
        stored = nib.load(attention_path(self.target, min(self.levels))).dataobj.get_unscaled()
        values = stored.reshape(self.scan.grid.shape) * np.float32(SLOPE) + np.float32(INTERCEPT)
        return np.where(values < 0, np.float32(np.nan), values)


@dataclass(frozen=True)
class ExtraFile:
    """A kind of extra file.

    Attributes:
        kind: its name in messages.
        ending: end of its name: `NAME` and this lie next to `NAME_seg.nii.gz`.
        mark: bytes at the beginning of each such file, which tell it from a file of the user.
        write: writes the file of a case to a path.
        option: option that asks for it, if it refers to a DICOM series. Then it is a result: a case without
            it is incomplete. Any other file is only convenient, and without it there is a warning.
        to_look_at: whether a person opens it to judge the labels.
        needed: whether a case needs the file.
    """

    kind: str
    ending: str
    mark: bytes
    write: Callable[[WrittenCase, Path], object]
    option: str = ""
    to_look_at: bool = False
    needed: Callable[[WrittenCase], bool] = lambda case: True

    def path(self, target: Path) -> Path:
        """Return the path of the file next to a label map."""
        return target.with_name(labels_name(target).removesuffix("_seg") + self.ending)

    def check_scan(self, scan: Path) -> None:
        """Check that the file can refer to the scan.

        Raises:
            OptionError: if it needs a DICOM series, and the scan is none.
        """
        if self.option and not folder_of(scan)[0].is_dir():
            raise OptionError(
                f"{scan}: no DICOM series, to which a {self.kind} could refer. Leave out ",
                self.option,
            )

    def check_replaceable(self, target: Path) -> None:
        """Check that the path is free, or holds an older file of this kind.

        Raises:
            ValueError: if there is another file, which would be overwritten.
        """
        path = self.path(target)
        try:
            opened = gzip.open if path.name.endswith(".gz") else open
            with opened(path, "rb") as file:
                if self.mark in file.read(MARK_WITHIN):
                    return
        except FileNotFoundError:
            return
        except (EOFError, gzip.BadGzipFile, zlib.error):
            pass
        raise ValueError(f"{path}: no {self.kind} of a run, so it is not replaced. Move it away.")


def write_extra_files(
    case: WrittenCase, extras: Sequence[ExtraFile]
) -> tuple[list[str], list[str]]:
    """Write the extra files of a case that are missing or of other labels, and list them in its manifest.

    Returns:
        The doubts, among them a line for each convenient file that could not be made; and a line for each
        result that could not.
    """
    doubts: list[str] = []
    missing: list[str] = []
    for extra in extras:
        if not extra.needed(case):
            continue
        path = extra.path(case.target)
        if lists_extra_file(case.target, path):
            continue
        try:
            with collect_warnings() as warned:
                extra.write(case, path)
            doubts += warned
            with folder_lock(case.target.parent):
                add_extra_files(case.target, path)
        except Exception as error:  # a library of pictures or tables can raise anything
            named = case.scan.path if str(case.scan.path) in str(error) else path
            reason = case_error(named, error)
            lines = missing if extra.option else doubts
            lines.append(f"{case.scan.path}: no {extra.kind} was written ({reason})")
    with folder_lock(case.target.parent):
        note_missing(case.target, missing)
    return doubts, missing
