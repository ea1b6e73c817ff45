"""Extra files of a case, made from its scan and its label map: a preview, statistics.

They follow from the files of the case. So they are made for a label map that `resume` keeps too, and the
manifest lists them apart from the files that the network made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_attn.io.errors import case_error, collect_warnings
from monai_attn.io.folder_lock import folder_lock
from monai_attn.io.map_encoding import INTERCEPT, SLOPE
from monai_attn.io.names import attention_path, labels_name
from monai_attn.io.scan import Scan
from monai_attn.io.volume import Volume
from monai_attn.runs.manifest import add_extra_files, lists_extra_file

MARK_WITHIN = 512  # bytes from the beginning of a file


@dataclass(frozen=True)
class WrittenCase:
    """A scan and the files that a run wrote of it, each read when it is first asked for.

    Attributes:
        scan: the scan.
        target: its label map.
        names: the name of each label.
        levels: the levels whose attention was written.
    """

    scan: Scan
    target: Path
    names: Mapping[int, str] = field(default_factory=dict)
    levels: tuple[int, ...] = ()

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
    """

    kind: str
    ending: str
    mark: bytes
    write: Callable[[WrittenCase, Path], object]

    def path(self, target: Path) -> Path:
        """Return the path of the file next to a label map."""
        return target.with_name(labels_name(target).removesuffix("_seg") + self.ending)

    def check_replaceable(self, target: Path) -> None:
        """Check that the path is free, or holds an older file of this kind.

        Raises:
            ValueError: if there is another file, which would be overwritten.
        """
        path = self.path(target)
        try:
            with path.open("rb") as file:
                if self.mark in file.read(MARK_WITHIN):
                    return
        except FileNotFoundError:
            return
        raise ValueError(f"{path}: no {self.kind} of a run, so it is not replaced. Move it away.")


def write_extra_files(case: WrittenCase, extras: Sequence[ExtraFile]) -> list[str]:
    """Write the extra files of a case that are missing or of other labels, and list them in its manifest.

    Returns:
        A line for each file that could not be made: the label map is complete without it.
    """
    faults = []
    for extra in extras:
        path = extra.path(case.target)
        if lists_extra_file(case.target, path):
            continue
        try:
            extra.write(case, path)
            with folder_lock(case.target.parent):
                add_extra_files(case.target, path)
        except Exception as error:  # a library of pictures or tables can raise anything
            reason = case_error(path, error)
            faults.append(f"{case.scan.path}: no {extra.kind} was written ({reason})")
    return faults
