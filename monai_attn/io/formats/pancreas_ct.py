"""Label maps of NIH's Pancreas-CT, whose headers give the axes and no position.

The Cancer Imaging Archive gives the scans as DICOM, in `PANCREAS_0001/STUDY/SERIES`, and the labels as
`label0001.nii.gz`. In a label's header the axes lead to the left, to the front and to the feet, so that rows
and slices run against those of the series, and the first voxel lies at 0, 0, 0 mm. Such a label map is placed
on the grid of its series by the axes, if it has its shape and spacing. The header cannot be trusted alone:
the labelled voxels must also hold soft tissue, and more than in any mirror image of the labels. In 49
patients at least 88 % of the labelled voxels hold 0 to 200 HU, 8 % more than after a mirror along y; in two
patients whose scans are whole 4 % more than after one along z.

Source: Roth et al., Data From Pancreas-CT, doi:10.7937/K9/TCIA.2016.tNB1kqBU.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes, apply_orientation
from numpy.typing import NDArray

from monai_attn.io.dicom.files import holds_dicom
from monai_attn.io.grid import Grid
from monai_attn.io.reorder import axis_order
from monai_attn.io.scan import NiftiScan

if TYPE_CHECKING:
    from monai_attn.io.dicom.stack import Stack

LABEL = re.compile(r"label(\d{4})\.nii(\.gz)?", re.IGNORECASE)
COLLECTION = "Pancreas-CT"  # the folder of all patients, as the archive names it
SAME = 1e-3  # relative, by which a spacing may be rounded: half a voxel in 512
LOWEST, HIGHEST = 0, 200  # HU of the pancreas with contrast medium, and of little else near it
LEAST = 0.8  # fraction of the labelled voxels between them
MARGIN = 0.02  # by which this fraction is larger than that of each mirror image
CHECKED = 24  # slices with labels, evenly spread, whose voxels are compared


def patient_of(label: Path) -> Path | None:
    """Find the folder of a label map's patient: `PANCREAS_0001` beside, or beside the labels' folder.

    Returns:
        The folder; None if the name is no `label0001.nii.gz`, or no such folder is there.
    """
    match = LABEL.fullmatch(label.name)
    if not match:
        return None
    above = label.absolute().parent
    for root in (above, above.parent, above / COLLECTION, above.parent / COLLECTION):
        patient = root / f"PANCREAS_{match[1]}"
        if patient.is_dir():
            return patient
    return None


def series_below(patient: Path) -> list[Path]:
    """List the folders with a DICOM series, at any depth of a patient's folder, sorted."""
    folders = [patient, *(path for path in sorted(patient.rglob("*")) if path.is_dir())]
    return [folder for folder in folders if holds_dicom(folder)]


class PancreasCtLabels(NiftiScan):
    """A label map of Pancreas-CT, on the grid of its patient's DICOM series.

    A label map whose header gives a position is read as any other file.
    """

    def __init__(self, path: Path, volume: int | None, patient: Path) -> None:
        super().__init__(path, volume)
        self._patient = patient

    @property
    def grid(self) -> Grid:
        """Grid of the series, or of the header if that gives a position."""
        if self._order is None:
            return super().grid
        return replace(self._stack.grid, path=self.path)

    @cached_property
    def _stack(self) -> Stack:
        from monai_attn.io.dicom.series import stack_series  # SimpleITK: late

        series = series_below(self._patient)
        if len(series) != 1:
            raise ValueError(
                f"{self.path}: {len(series)} DICOM series in {self._patient} (expected one, on whose grid it "
                "is placed). Keep the one that was labelled."
            )
        return stack_series(series[0])

    @cached_property
    def _order(self) -> NDArray[np.intp] | None:
        """The axes of the series that the file's axes are, and their signs; None if it has a position."""
        own = super().grid
        if np.abs(own.affine[:3, 3]).max() > SAME:
            return None
        scan = self._stack.grid
        if axis_order(own, scan) is not None:
            return None
        change = np.linalg.solve(scan.affine[:3, :3], own.affine[:3, :3])
        axes = np.abs(change).argmax(axis=0)
        order = np.stack([axes, np.sign(change[axes, range(3)]).astype(int)], axis=1)
        plain = np.zeros((3, 3))
        plain[axes, range(3)] = order[:, 1]
        shape = tuple(own.shape[int(i)] for i in np.argsort(axes))
        if not np.allclose(change, plain, atol=SAME) or shape != scan.shape:
            raise ValueError(
                f"{self.path}: its header has no position, and it does not fit the scan {scan.path} (got "
                f"{_described(own)}; expected {_described(scan)} in any order of axes). Resample the labels "
                "to the scan, by nearest neighbour."
            )
        return order

    def _read(self, fill: float | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        data, doubts = super()._read(fill)
        if self._order is None:
            return data, doubts
        axes = "".join(aff2axcodes(super().grid.affine))
        data = np.ascontiguousarray(apply_orientation(data, self._order))
        self._check_tissue(data > 0)
        return data, (
            *doubts,
            f"its header has no position; placed on the grid of {self._stack.grid.path} by its axes "
            f"({axes})",
        )

    def _check_tissue(self, labelled: NDArray[np.bool_]) -> None:
        """Check that labelled voxels (X, Y, Z) hold soft tissue, and more than in each mirror image.

        Raises:
            ValueError: if they do not, so that the header's axes may be wrong.
        """
        (held,) = np.nonzero(labelled.any(axis=(0, 1)))
        if not held.size:
            return
        chosen = held[np.unique(np.linspace(0, held.size - 1, CHECKED).astype(int))]
        masks = labelled[:, :, chosen]
        near, far = (self._soft(slices) for slices in (chosen, labelled.shape[2] - 1 - chosen))
        fits, *mirrored = (
            float(soft[mask].mean()) for soft in (near, far) for mask in (masks, masks[:, ::-1])
        )
        if fits < LEAST or fits < max(mirrored) + MARGIN:
            raise ValueError(
                f"{self.path}: its header has no position, and the voxels of {self._stack.grid.path} do not "
                f"confirm its axes (got {fits:.0%} of the labelled voxels from {LOWEST} to {HIGHEST} HU, and "
                f"{max(mirrored):.0%} in a mirror image; expected {LEAST:.0%}, and {MARGIN:.0%} more). "
                "Compare the two in a viewer, and save the labels on the scan's grid."
            )

    def _soft(self, slices: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which voxels (X, Y, slices) of some slices of the series hold soft tissue."""
        from monai_attn.io.dicom.voxels import read_voxels

        stack = self._stack
        grid = replace(stack.grid, shape=(*stack.grid.shape[:2], len(slices)))
        some = replace(stack, slices=tuple(stack.slices[int(k)] for k in slices), grid=grid)
        data = read_voxels(stack.grid.path, some)
        return (data > LOWEST) & (data < HIGHEST)


def _described(grid: Grid) -> str:
    shape = " x ".join(map(str, grid.shape))
    return f"{shape} voxels of {' x '.join(f'{size:.4g}' for size in voxel_sizes(grid.affine))} mm"
