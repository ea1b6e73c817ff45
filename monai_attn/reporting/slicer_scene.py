"""A scene for 3D Slicer (MRML): XML that refers to the files of a case, and a colour table for its labels.

Attributes are those that Slicer's own nodes read (Libs/MRML/Core of its source). All positions are RAS mm, as
in NIfTI; Slicer turns the geometry of the files to RAS itself. Paths are relative to the scene, so that a
folder can be moved with its scans.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from monai_attn.reporting.colours import label_colour, rgb_of

if TYPE_CHECKING:
    from monai_attn.reporting.scene import Scene

MARK, TABLE_MARK = "monai-attn scene", "# monai-attn colours of labels"
LABEL_OPACITY, ATTENTION_OPACITY = 0.5, 0.4
FROM_FILE = "14"  # vtkMRMLColorTableNode::File
VIRIDIS = "vtkMRMLColorTableNodeFileViridis.txt"  # comes with Slicer
BELOW_ZERO = "-0.002"  # between -1/254, where no window ran, and 0
# name of a slice view, its colour in Slicer, its orientation, and the RAS axes across, up and through it
VIEWS = (
    ("Red", "0.952941 0.290196 0.2", "Axial", ((-1, 0, 0), (0, 1, 0), (0, 0, 1))),
    ("Green", "0.431373 0.690196 0.294118", "Coronal", ((-1, 0, 0), (0, 0, 1), (0, 1, 0))),
    ("Yellow", "0.929412 0.835294 0.298039", "Sagittal", ((0, -1, 0), (0, 0, 1), (-1, 0, 0))),
)
PIXELS = 256  # of a slice view, until Slicer fits it to its window
ESCAPED = (("%", "%25"), (" ", "%20"), ("'", "%27"), (">", "%3E"), ("<", "%3C"), ('"', "%22"))


def colour_table(names: Mapping[int, str]) -> str:
    """Return a colour table (.ctbl): number, name, red, green, blue and opacity of each label, 0 to 255."""
    lines = [TABLE_MARK, "0 background 0 0 0 0"]
    for label in sorted(label for label in names if label > 0):
        name = "_".join(names[label].split()) or f"label_{label}"  # Slicer shows _ as a space
        lines.append(f"{label} {name} {' '.join(map(str, rgb_of(label_colour(label))))} 255")
    return "\n".join(lines) + "\n"


def scene_text(scene: Scene, colours: Path, folder: Path) -> str:
    """Return the scene of a case.

    Args:
        scene: what to show.
        colours: the colour table of its labels.
        folder: folder of the scene.
    """
    low, high = scene.window
    root = ElementTree.Element("MRML", version="Slicer", userTags="")
    _view_nodes(root, scene)
    storage = _add(root, "ColorTableStorage", fileName=_link(colours, folder))
    table = _add(
        root,
        "ColorTable",
        f"{scene.name} labels",
        type=FROM_FILE,
        references=_refer(storage=storage),
    )
    window = {"window": f"{high - low:g}", "level": f"{(low + high) / 2:g}", "autoWindowLevel": "0"}
    display = _add(root, "VolumeDisplay", colorNodeID="vtkMRMLColorTableNodeGrey", **window)
    _volume(root, "Volume", scene.name, scene.image, display, folder)
    display = _add(root, "LabelMapVolumeDisplay", visibility="true", colorNodeID=table)
    _volume(root, "LabelMapVolume", f"{scene.name} labels", scene.labels, display, folder)
    if scene.attention:
        display = _add(
            root,
            "VolumeDisplay",
            colorNodeID=VIRIDIS,
            window="1",
            level="0.5",
            autoWindowLevel="0",
            applyThreshold="1",
            autoThreshold="0",
            lowerThreshold=BELOW_ZERO,
            upperThreshold="1",
        )
        _volume(root, "Volume", f"{scene.name} attention", scene.attention, display, folder)
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {MARK} -->\n{text}\n'


CLASSES = {
    "Slice": "vtkMRMLSliceNode",
    "SliceComposite": "vtkMRMLSliceCompositeNode",
    "ColorTableStorage": "vtkMRMLColorTableStorageNode",
    "ColorTable": "vtkMRMLColorTableNode",
    "VolumeArchetypeStorage": "vtkMRMLVolumeArchetypeStorageNode",
    "VolumeDisplay": "vtkMRMLScalarVolumeDisplayNode",
    "LabelMapVolumeDisplay": "vtkMRMLLabelMapVolumeDisplayNode",
    "Volume": "vtkMRMLScalarVolumeNode",
    "LabelMapVolume": "vtkMRMLLabelMapVolumeNode",
}
SCAN, LABELS, ATTENTION = (
    "vtkMRMLScalarVolumeNode1",
    "vtkMRMLLabelMapVolumeNode1",
    "vtkMRMLScalarVolumeNode2",
)


def _add(
    root: ElementTree.Element, tag: str, name: str = "", end: str = "", **attributes: str
) -> str:
    """Add a node, and return its id: its class with `end`, or with the number of nodes of this kind."""
    node = f"{CLASSES[tag]}{end or len(root.findall(tag)) + 1}"
    ElementTree.SubElement(root, tag, {"id": node, "name": name or tag, **attributes})
    return node


def _volume(
    root: ElementTree.Element, tag: str, name: str, file: Path, display: str, folder: Path
) -> None:
    storage = _add(root, "VolumeArchetypeStorage", fileName=_link(file, folder), singleFile="1")
    _add(root, tag, name, references=_refer(display=display, storage=storage))


def _view_nodes(root: ElementTree.Element, scene: Scene) -> None:
    """Add the three slice views: what they show, and the place they show first."""
    shown = {"backgroundVolume": SCAN, "labelVolume": LABELS}
    if scene.attention:
        shown["foregroundVolume"] = ATTENTION
    opacity = ATTENTION_OPACITY if scene.attention else 0
    presets = {f"orientationMatrix{name}": _numbers(_rows(axes)) for *_, name, axes in VIEWS}
    for view, colour, orientation, axes in VIEWS:
        width = max(
            abs(edge * part)
            for axis in axes[:2]
            for edge, part in zip(scene.size, axis, strict=True)
        )
        to_ras = [*_rows((*axes, scene.centre)), 0, 0, 0, 1]
        _add(
            root,
            "Slice",
            view,
            view,
            singletonTag=view,
            attributes="MappedInLayout:1",
            layoutName=view,
            layoutLabel=view[0],
            layoutColor=colour,
            visibility="true",
            **presets,  # before the orientation, which names one of them
            orientation=orientation,
            defaultOrientation=orientation,
            orientationReference=orientation,
            fieldOfView=_numbers((width, width, 1)),
            dimensions=_numbers((PIXELS, PIXELS, 1)),
            sliceToRAS=_numbers(to_ras),
        )
        _add(
            root,
            "SliceComposite",
            f"{view} layers",
            view,
            singletonTag=view,
            layoutName=view,
            references=_refer(**shown),
            foregroundOpacity=f"{opacity:g}",
            labelOpacity=f"{LABEL_OPACITY:g}",
            linkedControl="1",
        )


def _refer(**roles: str) -> str:
    """Return the references of a node, such as `storage:vtkMRMLColorTableStorageNode1;`."""
    return "".join(f"{role}:{node};" for role, node in roles.items())


def _rows(columns: Sequence[Sequence[float]]) -> list[float]:
    """Return the rows of a matrix of these columns, one after the other."""
    return [column[row] for row in range(3) for column in columns]


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _link(path: Path, folder: Path) -> str:
    """Return a path relative to the scene's folder, with the characters escaped that Slicer escapes."""
    try:
        link = os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:  # on another drive of Windows
        link = str(path.absolute())
    link = link.replace(os.sep, "/")
    for letter, code in ESCAPED:
        link = link.replace(letter, code)
    return link
