"""Read a scene with the libraries of 3D Slicer, and print what they read as JSON.

python read_scene.py NAME.mrml
"""

from __future__ import annotations

import json
import sys

import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

SCAN, LABELS, ATTENTION = (
    "vtkMRMLScalarVolumeNode1",
    "vtkMRMLLabelMapVolumeNode1",
    "vtkMRMLScalarVolumeNode2",
)


def voxel_at(volume, place):
    """Return the value of a volume at a place, RAS mm."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(matrix)
    index = [round(value) for value in matrix.MultiplyPoint([*place, 1])[:3]]
    return volume.GetImageData().GetScalarComponentAsDouble(*index, 0)


def colours_of(table):
    """Return name, red, green, blue and opacity (0 to 255) of each label."""
    found = []
    for label in range(table.GetNumberOfColors()):
        colour = [0.0] * 4
        table.GetColor(label, colour)
        found.append([table.GetColorName(label), *[round(255 * value) for value in colour]])
    return found


def main(path):
    scene = slicer.vtkMRMLScene()
    scene.SetURL(path)
    imported = bool(scene.Connect())
    scan, labels, attention = (scene.GetNodeByID(node) for node in (SCAN, LABELS, ATTENTION))
    views = {}
    for name in ("Red", "Green", "Yellow"):
        view = scene.GetNodeByID(f"vtkMRMLSliceNode{name}")
        layers = scene.GetNodeByID(f"vtkMRMLSliceCompositeNode{name}")
        place = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        views[name] = {
            "orientation": view.GetOrientation(),
            "label": voxel_at(labels, place),
            "layers": [
                layers.GetBackgroundVolumeID(),
                layers.GetForegroundVolumeID(),
                layers.GetLabelVolumeID(),
            ],
            "opacity": [layers.GetForegroundOpacity(), layers.GetLabelOpacity()],
        }
    display = scan.GetDisplayNode()
    values = vtk_to_numpy(labels.GetImageData().GetPointData().GetScalars())
    spacing = labels.GetSpacing()
    print(
        json.dumps(
            {
                "imported": imported,
                "shape": scan.GetImageData().GetDimensions(),
                "range": scan.GetImageData().GetScalarRange(),
                "window": [display.GetWindow(), display.GetLevel()],
                "ml": float((values == 1).sum()) * spacing[0] * spacing[1] * spacing[2] / 1000,
                "attention": attention.GetImageData().GetScalarRange() if attention else None,
                "map": attention.GetDisplayNode().GetColorNodeID() if attention else None,
                "colours": colours_of(labels.GetDisplayNode().GetColorNode()),
                "views": views,
            }
        )
    )


main(sys.argv[1])
