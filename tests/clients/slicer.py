"""3D Slicer's libraries read the scene of a case: its files, colours, layers, and where its planes meet."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.io.map_encoding import to_steps
from monai_attn.io.names import attention_path
from monai_attn.io.scan import open_scan
from monai_attn.io.writer import write_labels, write_map
from monai_attn.phantom import write_phantoms
from monai_attn.reporting.colours import label_colour, rgb_of
from monai_attn.reporting.scene import SCENE, SLICER
from monai_attn.runs.extra_files import WrittenCase
from tests.clients.client import CheckFailed, Client, Place

READ = Path(__file__).parent / "scripts" / "read_scene.py"
NAMES = {0: "background", 1: "the pancreas"}
WINDOW = (-150, 250)
HIGHEST = 0.75  # of the map of attention


def a_scene_is_read_with_all_its_files(place: Place) -> str:
    """Write the scene of a phantom, in a folder with a space, and compare what the libraries read."""
    case = _case(place.work)
    printed = place.run("python", READ, SLICER.path(case.target))
    found = json.loads(printed.splitlines()[-1])
    data = case.volume.data
    ml = (case.labels == 1).sum() * np.prod(nib.affines.voxel_sizes(case.volume.affine)) / 1000
    expected = {
        "imported": True,
        "shape": list(data.shape),
        "range": [float(data.min()), float(data.max())],
        "window": [WINDOW[1] - WINDOW[0], sum(WINDOW) / 2],
        "map": "vtkMRMLColorTableNodeFileViridis.txt",
        "colours": [["background", 0, 0, 0, 0], [NAMES[1], *rgb_of(label_colour(1)), 255]],
    }
    for key, value in expected.items():
        if found[key] != value:
            raise CheckFailed(f"{key} {found[key]}, {value} expected")
    if not np.allclose(found["attention"], [-1 / 254, HIGHEST], atol=0.003):
        raise CheckFailed(f"attention {found['attention']}")
    if not np.isclose(found["ml"], ml, rtol=1e-4):
        raise CheckFailed(f"label of {found['ml']} ml, {ml} expected")
    for name, view in found["views"].items():
        if view["label"] != 1 or None in view["layers"] or view["opacity"] != [0.4, 0.5]:
            raise CheckFailed(f"{name}: {view}")
    kinds = [view["orientation"] for view in found["views"].values()]
    if kinds != ["Axial", "Coronal", "Sagittal"] or "ERR|" in printed:
        raise CheckFailed(f"orientations {kinds}, or an error in the log")
    return f"3 volumes of {data.shape}, {found['ml']:.1f} ml, 3 planes in the label"


def _case(folder: Path) -> WrittenCase:
    """Write a phantom, its labels and a ramp as its attention."""
    write_phantoms(folder / "some scans", 1, shape=(72, 64, 40), spacing=(5.0, 5.0, 6.0))
    scan = open_scan(folder / "some scans" / "imagesTr" / "phantom_0000.nii.gz")
    target = folder / "out" / "phantom 0_seg.nii.gz"
    target.parent.mkdir()
    labels = np.asarray(nib.load(folder / "some scans" / "labelsTr" / scan.path.name).dataobj)
    write_labels(target, labels, scan.grid)
    ramp = np.linspace(0, HIGHEST, labels.shape[0])[:, None, None] * np.ones(labels.shape)
    stored = to_steps(ramp).astype(np.uint8)
    stored[:10] = 0  # no window ran there
    write_map(attention_path(target, 1), stored, scan.grid)
    case = WrittenCase(scan, target, NAMES, (1,), {"intensity_range": list(WINDOW)})
    for extra in SCENE:
        if extra.needed(case):
            extra.write(case, extra.path(target))
    return case


CLIENT = Client("slicer", "3D Slicer libraries 5.13", (a_scene_is_read_with_all_its_files,))
