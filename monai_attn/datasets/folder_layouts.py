"""Data sets of two folders paired by name, such as `images` and `labels`, or `imagesTr` and `labelsTr`.

An image is `CASE` or, as nnU-Net names its channels, `CASE_0000`, `CASE_0001` and so on; its label is `CASE`,
`CASE_seg`, `CASE_label` or `CASE_labels`. In the folders `img` and `label` of BTCV the numbers make the
pairs, as of `img0001` and `label0001`. nnU-Net (raw, version 2) has a `dataset.json` next to the two folders,
which declares channels and labels and names no case.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_attn.datasets.channel_files import channel_faults, channel_of, join_channels
from monai_attn.datasets.channels import declared_channels
from monai_attn.datasets.datalist import Case, read_json
from monai_attn.datasets.folders import by_name, holds_scans, label_maps_in, scans_in, visible
from monai_attn.datasets.masks import has_masks
from monai_attn.datasets.pancreas_ct import has_pancreas_ct
from monai_attn.io.channels import Image, as_image, files_of
from monai_attn.io.errors import Faults
from monai_attn.io.names import REFERENCES, case_name

LABEL = re.compile(r"[_.](seg|labels?)$")  # 3D Slicer writes CASE.seg.nrrd
FLARE22 = "FLARE22"
FIRST = "_0000"  # end of the first channel's name
NUMBERED = re.compile(r"(img|label)(?=\d+$)", re.IGNORECASE)  # BTCV's img0001 and label0001
FOLDERS = {  # the folders of images and labels: the name of the layout
    ("imagesTr", "labelsTr"): "folders imagesTr and labelsTr",
    ("images", "labels"): "folders images and labels",
    ("img", "label"): "BTCV, img and label",
    ("averaged-training-images", "averaged-training-labels"): "BTCV, averaged training images",
}


@dataclass(frozen=True)
class FolderLayout:
    """Two folders, in which each image has a label map.

    Attributes:
        images: the folder of the scans.
        labels: the folder of their label maps.
        nnunet: whether each image's name ends in the number of its channel.
        channels: the names of the channels, if they are declared.
    """

    images: Path
    labels: Path
    nnunet: bool = False
    channels: tuple[str, ...] = ()


def find_layout(source: Path) -> FolderLayout | None:
    """Find the layout of a folder, or of the folder of a `dataset.json`; None if it has no such layout.

    Raises:
        ValueError: if a `dataset.json` is no JSON, or is nnU-Net's with unsupported files.
    """
    folder = source.parent if source.name == "dataset.json" else source
    file = folder / "dataset.json"
    if file.is_file():
        content = read_json(file)
        if not is_nnunet(content):
            return None
        _check_nnunet(file, content)
        channels = declared_channels(file)
        return FolderLayout(folder / "imagesTr", folder / "labelsTr", True, channels)
    if not source.is_dir() or has_pancreas_ct(source):  # which may have a folder labels
        return None
    for images, labels in FOLDERS:
        if (folder / images).is_dir() or (folder / labels).is_dir():
            return FolderLayout(folder / images, folder / labels)
    return None


def layout_name(source: str | Path) -> str:
    """Return the name of a data set's layout for a message; an empty text if it has none.

    Args:
        source: as for `find_cases`.
    """
    path = Path(source)
    layout = find_layout(path)
    if layout:
        folders = (layout.images.name, layout.labels.name)
        name = "nnU-Net raw" if layout.nnunet else FOLDERS[folders]
        return f"{FLARE22}, {name}" if _is_flare(layout.images) else name
    file = path if path.suffix == ".json" else path / "dataset.json"
    if file.name == "dataset.json" and file.is_file():
        return _listed_name(file)
    if has_pancreas_ct(path):
        return "NIH Pancreas-CT, DICOM series and label maps"
    if has_masks(path):
        return "TotalSegmentator, a mask for each structure"
    return "datalist" if path.suffix == ".json" else ""


def _listed_name(file: Path) -> str:
    """Return the name of a `dataset.json` with cases: the data set's own if it is a known one."""
    content = read_json(file)
    name = str(content.get("name", "")) if isinstance(content, dict) else ""
    known = "AMOS22, " if re.match("amos", name, re.IGNORECASE) else ""
    return f"{known}cases listed in dataset.json" + ("" if known else ", as of the Decathlon")


def _is_flare(images: Path) -> bool:
    """Check whether a folder holds scans named as those of FLARE22, such as `FLARE22_Tr_0001_0000.nii.gz`."""
    return images.is_dir() and any(path.name.startswith(f"{FLARE22}_") for path in visible(images))


def is_nnunet(content: Any) -> bool:
    """Check whether the content of a `dataset.json` is in nnU-Net's format."""
    return isinstance(content, dict) and "file_ending" in content


def layout_cases(layout: FolderLayout) -> list[Case]:
    """Pair the images and labels of a layout, sorted by case name.

    Raises:
        ValueError: one line that names the files, if an image has a channel that is not declared.
        Faults: a line for each image without a label, label without an image, second file of a case,
            channel that a case lacks, and folder that is missing or empty.
    """
    images, labels = _files(layout)
    if layout.nnunet:
        _check_channels(images, layout.channels)
    named = {LABEL.sub("", _numbered(path, layout.labels)) for path in labels}
    by_image, faults = _by_case(images, layout, named)
    by_label, more = by_name({path: _label_case(path, by_image, layout.labels) for path in labels})
    faults += more
    faults += [
        f"{files_of(by_image[name])[0]}: has no label (expected {layout.labels / name}.nii.gz). Add it, or "
        "remove the image."
        for name in sorted(by_image.keys() - by_label.keys())
    ]
    faults += [
        f"{by_label[name]}: has no image (expected "
        f"{layout.images / name}{FIRST * layout.nnunet}.nii.gz). Add it, or remove the label."
        for name in sorted(by_label.keys() - by_image.keys())
    ]
    if faults:
        raise Faults(*faults)
    return [{"image": _text(by_image[n]), "label": str(by_label[n])} for n in sorted(by_image)]


def layout_images(layout: FolderLayout) -> list[Image]:
    """List the scans to segment: those in `imagesTs` if it holds any, else those in the images' folder.

    Raises:
        ValueError: if there is no scan, or one has a channel that is not declared.
        Faults: a line for each channel that a case lacks.
    """
    test = layout.images.with_name("imagesTs")
    if not layout.images.is_dir() and not holds_scans(test):
        raise ValueError(
            f"{layout.images}: no such folder next to {layout.labels} (expected a folder of scans). Give "
            "the folder that holds the scans."
        )
    images = scans_in(test if holds_scans(test) else layout.images)
    if layout.nnunet:
        _check_channels(images, layout.channels)
    if len(layout.channels) > 1:
        return join_channels(images, layout.channels, whole=False)
    return [*images]


def _files(layout: FolderLayout) -> tuple[list[Path], list[Path]]:
    """List the images and the labels; refuse a folder that is missing or empty."""
    files: list[list[Path]] = []
    faults = []
    inside: tuple[tuple[Path, Callable[[Path], list[Path]]], ...] = (
        (layout.images, scans_in),
        (layout.labels, label_maps_in),
    )
    for folder, find in inside:
        if not folder.is_dir():
            faults.append(
                f"{folder}: no such folder (expected {layout.images.name} next to {layout.labels.name}). "
                "Add it, or give the folder that holds both."
            )
            continue
        try:
            files.append(find(folder))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise Faults(*faults)
    return files[0], files[1]


def _by_case(
    images: list[Path], layout: FolderLayout, named: set[str]
) -> tuple[dict[str, Image], list[str]]:
    """Map cases to their images, and return a line for each second file and each missing channel."""
    places = {path: _image_case(path, layout, named) for path in images}
    names = {
        path: case + f"_{number:04d}" * (number > 0) for path, (case, number) in places.items()
    }
    single, faults = by_name(names)
    cases: dict[str, dict[int, Path]] = {}
    for path in single.values():
        case, number = places[path]
        cases.setdefault(case, {})[number] = path
    most = 1 + max((number for _, number in places.values()), default=0)
    channels = layout.channels or tuple(f"channel {number}" for number in range(most))
    for case, files in cases.items():
        faults += channel_faults(case, files, channels) if max(most, len(channels)) > 1 else []
    joined = {case: as_image([files[n] for n in sorted(files)]) for case, files in cases.items()}
    return joined, faults


def _image_case(path: Path, layout: FolderLayout, named: set[str]) -> tuple[str, int]:
    """Return the case and the channel of an image: `_0001` is a channel where a label has the name before.

    A label with the full name shows that the number belongs to the name.
    """
    name, found = _numbered(path, layout.images), channel_of(path)
    if found is None or (name in named and not layout.nnunet):
        return name, 0
    is_channel = layout.nnunet or found[1] == 0 or found[0] in named
    return found if is_channel else (name, 0)


def _text(image: Image) -> str | list[str]:
    return [str(file) for file in image] if isinstance(image, tuple) else str(image)


def _numbered(path: Path, folder: Path) -> str:
    """Return a file's name, which is only a number in BTCV's folders: `img0001` and `label0001` are 0001."""
    name = case_name(path)
    return NUMBERED.sub("", name) if folder.name in ("img", "label") else name


def _label_case(path: Path, images: dict[str, Image], folder: Path) -> str:
    name = _numbered(path, folder)
    return name if name in images else LABEL.sub("", name)


def _check_nnunet(file: Path, content: dict[str, Any]) -> None:
    if content["file_ending"] not in REFERENCES:
        raise ValueError(
            f"{file}: unsupported file_ending (got {content['file_ending']!r:.40}, expected one of "
            f"{', '.join(REFERENCES)}). Convert the files."
        )


def _check_channels(images: list[Path], channels: tuple[str, ...]) -> None:
    """Refuse images with channels that are not declared, or without a channel in their names."""
    last = max(1, len(channels)) - 1
    numbers = {path: found[1] if (found := channel_of(path)) else None for path in images}
    wrong = [path for path, number in numbers.items() if number is None or number > last]
    if not wrong:
        return
    number = numbers[wrong[0]]
    fault = "no channel in its name" if number is None else f"channel {number:04d} in its name"
    expected = f"CASE{FIRST}" + (f" to CASE_{last:04d}" if last else "")
    raise ValueError(
        f"{wrong[0]}: {fault} (expected {expected}, which {len(wrong)} of {len(images)} images are not). "
        "Declare all channels in channel_names, or rename the files."
    )
