"""A workspace for ITK-SNAP: XML that refers to the files of a case, with the colours and names of its labels.

Keys and values are those that ITK-SNAP reads and writes itself (IRISApplication.cxx, ColorMap.cxx and
SNAPRegistryIO.cxx of its source). Paths are absolute, and the folder of the workspace is named: if both were
moved, ITK-SNAP finds the files by their relative location.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from monai_attn.reporting.colours import MAP_COLOURS, label_colour, rgb_of

if TYPE_CHECKING:
    from monai_attn.reporting.scene import Scene

MARK = "monai-attn workspace"
VERSION = "20151215"  # of the format; ITK-SNAP 3.6 and 4 read it
SEGMENTATION_ALPHA, ATTENTION_ALPHA = 0.5, 0.4
STOPS = 16  # of the colour map of attention
Entries = Mapping[str, Any]  # values, and folders of values


def workspace_text(scene: Scene, folder: Path) -> str:
    """Return the workspace of a case.

    Args:
        scene: what to show.
        folder: folder of the workspace.
    """
    layers = [_main(scene), _layer(scene.labels, "SegmentationRole", {"Sticky": "1"})]
    if scene.attention:
        layers.append(_layer(scene.attention, "OverlayRole", _attention(scene.attention_extremes)))
    root = ElementTree.Element("registry")
    content = {
        "SaveLocation": folder.absolute(),
        "Version": VERSION,
        "Layers": {f"Layer[{i:03d}]": layer for i, layer in enumerate(layers)},
    }
    _fill(root, content)
    ElementTree.indent(root, "  ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<!-- {MARK} -->\n{text}\n'


def _fill(element: ElementTree.Element, content: Entries) -> None:
    """Add entries and folders, entries first."""
    for key, value in content.items():
        if not isinstance(value, Mapping):
            ElementTree.SubElement(element, "entry", key=key, value=str(value))
    for key, value in content.items():
        if isinstance(value, Mapping):
            _fill(ElementTree.SubElement(element, "folder", key=key), value)


def _layer(file: Path, role: str, metadata: Entries) -> dict[str, Any]:
    return {"AbsolutePath": file.absolute(), "Role": role, "LayerMetaData": metadata}


def _main(scene: Scene) -> Entries:
    """Return the layer of the scan; the labels of the workspace belong to it."""
    mapping = {"ColorMap": {"Preset": "Grayscale"}, "Curve": _curve(scene.window, scene.extremes)}
    layer = _layer(scene.image, "MainRole", {"Alpha": "255", "DisplayMapping": mapping})
    table = {
        f"Element[{i}]": {
            "Alpha": "255",
            "Color": " ".join(map(str, rgb_of(label_colour(label)))),
            "Flags": "1 1",  # visible in slices and in 3D
            "Index": label,
            "Label": name,
        }
        for i, (label, name) in enumerate(sorted(scene.names.items()))
    }
    layer["ProjectMetaData"] = {
        # the labels count only for an image of this size
        "Files": {"Grey": {"Dimensions": " ".join(map(str, scene.shape))}},
        "IRIS": {
            "SliceViewLayerLayout": "Stacked",
            "DisplayMapping": mapping,
            "LabelState": {"SegmentationAlpha": f"{SEGMENTATION_ALPHA:g}"},
            "LabelTable": {"NumberOfElements": len(table), **table},
        },
    }
    return layer


def _curve(window: tuple[float, float], extremes: tuple[float, float]) -> Entries:
    """Return the contrast: a straight line over the window, as a part of the range of the file's values."""
    low, high = extremes
    span = (high - low) or 1.0
    ends = [(end - low) / span for end in window]
    points = {
        f"ControlPoint[{i}]": {"tValue": f"{ends[0] + x * (ends[1] - ends[0]):.6g}", "xValue": x}
        for i, x in enumerate((0, 0.5, 1))
    }
    return {"NumberOfControlPoints": len(points), **points}


def _attention(extremes: tuple[float, float]) -> Entries:
    """Return the metadata of the overlay: attention of 0 to 1 over the whole map of colours."""
    points = {f"ControlPoint[{i:04d}]": point for i, point in enumerate(_colour_points())}
    colours = {"Preset": "Custom", "NumberOfControlPoints": len(points), **points}
    return {
        "Alpha": f"{ATTENTION_ALPHA:g}",
        "CustomNickName": "attention",
        "Sticky": "1",  # drawn over the scan, not next to it
        "DisplayMapping": {"ColorMap": colours, "Curve": _curve((0.0, 1.0), extremes)},
    }


def _colour_points() -> Iterator[Entries]:
    """Yield the control points of the colour map; below its first nothing is drawn: there no window ran."""
    import matplotlib

    colours = matplotlib.colormaps[MAP_COLOURS["attention"]]
    for i in range(STOPS):
        index = i / (STOPS - 1)
        red, green, blue = (math.floor(255 * value + 0.5) for value in colours(index)[:3])
        point = {"R": red, "G": green, "B": blue}
        first = i == 0
        yield {
            "Index": f"{index:.6g}",
            "Type": "Discontinuous" if first else "Continuous",
            "Left": {**point, "A": 0 if first else 255},
            "Right": {**point, "A": 255},
        }
