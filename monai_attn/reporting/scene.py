"""A case for other viewers: a scene for 3D Slicer, and a workspace for ITK-SNAP, next to the label map.

Both refer to the scan, the label map and the map of the finest gate, with the colours of the report. A scan
that both programs read stays where it is. A DICOM series, an archive, or a volume of a 4D file is copied to
NIfTI: so the scan lies on the grid of its labels, as it was read for the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_attn.io.files import atomic_write
from monai_attn.io.names import attention_path, labels_name, suffix
from monai_attn.io.writer import write_image
from monai_attn.reporting import slicer_scene, snap_workspace
from monai_attn.reporting.planes import Marked, ras_affine, to_ras
from monai_attn.reporting.shown_scan import EXTREMES, SOFT_TISSUE
from monai_attn.runs.extra_files import ExtraFile, WrittenCase
from monai_attn.runs.json_values import number

COPY_MARK = "monai-attn copy of a scan"
NIFTI, READ_BY_BOTH = (".nii.gz", ".nii"), (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Scene:
    """The files of a case and how a viewer shows them.

    Attributes:
        name: name of the case.
        image: file of the scan.
        labels: file of the label map.
        names: name of each label.
        window: values of the scan that are shown black and white.
        extremes: lowest and highest value of the scan.
        centre: where the planes meet, RAS mm: a labelled voxel, or the middle of the scan.
        shape: voxels of the scan along the axes of its file.
        size: edges of the scan along right, anterior and superior, mm.
        attention: file of the map of the finest gate, if there is one.
        attention_extremes: lowest and highest value in that file; below 0 where no window ran.
    """

    name: str
    image: Path
    labels: Path
    names: Mapping[int, str]
    window: tuple[float, float]
    extremes: tuple[float, float]
    centre: tuple[float, float, float]
    shape: tuple[int, ...]
    size: tuple[float, float, float]
    attention: Path | None = None
    attention_extremes: tuple[float, float] = (0.0, 1.0)


def scene_of(case: WrittenCase) -> Scene:
    """Return the files of a case and how a viewer shows them."""
    volume = case.volume
    affine = ras_affine(volume.affine, volume.shape)
    marked = Marked(to_ras(case.labels, volume.affine) > 0, affine)
    right, anterior, superior = (affine @ (*marked.centre, 1))[:3].tolist()
    x, y, z = (n * mm for n, mm in zip(marked.mask.shape, marked.spacing, strict=True))
    attention = attention_path(case.target, min(case.levels)) if case.levels else None
    return Scene(
        labels_name(case.target).removesuffix("_seg"),
        _own_file(case) or COPY.path(case.target),
        case.target,
        {label: name for label, name in case.names.items() if label > 0},
        _window(case, volume.data),
        (float(volume.data.min()), float(volume.data.max())),
        (right, anterior, superior),
        volume.shape,
        (x, y, z),
        attention,
        _extremes_of_file(attention) if attention else (0.0, 1.0),
    )


def _own_file(case: WrittenCase) -> Path | None:
    """Return the file of the scan if both programs read it as this volume; of several channels the first."""
    scan = case.scan.channels[0]
    if len(scan.files) != 1 or not suffix(scan.path, READ_BY_BOTH):
        return None
    if suffix(scan.path, NIFTI) and len(nib.load(scan.path).shape) != 3:
        return None
    return scan.path


def _window(case: WrittenCase, image: NDArray[np.float32]) -> tuple[float, float]:
    """Return the range that the network sees, or one for soft tissue; without HU, that of most values."""
    ends = case.settings.get("intensity_range")
    if isinstance(ends, list) and len(ends) == 2:
        low, high = map(number, ends)
        if low is not None and high is not None and low < high:
            return low, high
    if case.settings.get("channels"):
        low, high = np.quantile(image[::2, ::2, ::2], EXTREMES).tolist()
        return low, max(high, low + 1)
    return SOFT_TISSUE


def _extremes_of_file(path: Path) -> tuple[float, float]:
    values = nib.load(path).dataobj
    stored = values.get_unscaled()
    low, high = (float(end) * values.slope + values.inter for end in (stored.min(), stored.max()))
    return low, high


def _write_copy(case: WrittenCase, path: Path) -> None:
    write_image(path, case.volume.data, case.volume, description=COPY_MARK)


def _write_colours(case: WrittenCase, path: Path) -> None:
    _write(path, slicer_scene.colour_table(case.names))


def _write_mrml(case: WrittenCase, path: Path) -> None:
    _write(path, slicer_scene.scene_text(scene_of(case), COLOURS.path(case.target), path.parent))


def _write_workspace(case: WrittenCase, path: Path) -> None:
    _write(path, snap_workspace.workspace_text(scene_of(case), path.parent))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


COPY = ExtraFile(
    "copy of the scan",
    "_scene_image.nii.gz",
    COPY_MARK.encode(),
    _write_copy,
    needed=lambda case: _own_file(case) is None,
)
COLOURS = ExtraFile(
    "colour table", "_labels.ctbl", slicer_scene.TABLE_MARK.encode(), _write_colours
)
SLICER = ExtraFile(
    "scene for 3D Slicer", ".mrml", slicer_scene.MARK.encode(), _write_mrml, to_look_at=True
)
SNAP = ExtraFile(
    "workspace for ITK-SNAP", ".itksnap", snap_workspace.MARK.encode(), _write_workspace
)
SCENE = (COPY, COLOURS, SLICER, SNAP)
