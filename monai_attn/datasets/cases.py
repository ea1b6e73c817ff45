"""Scans that a path stands for: those to segment, and those with labels.

A case is named after its file without the suffix, or after its DICOM folder; in a folder tree, and where
two have one name, after the part of the path that differs (`scan_names`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai_attn.datasets.channel_files import join_channels
from monai_attn.datasets.channels import read_channels
from monai_attn.datasets.datalist import Case, check_listed, read_datalist
from monai_attn.datasets.folder_layouts import find_layout, layout_cases, layout_images
from monai_attn.datasets.folders import by_name, holds_scans
from monai_attn.datasets.masks import mask_cases, uses_masks
from monai_attn.datasets.pancreas_ct import has_pancreas_ct, pancreas_ct_cases, pancreas_ct_scans
from monai_attn.datasets.scan_names import scan_names
from monai_attn.datasets.series_names import check_pattern, name_series
from monai_attn.datasets.trees import FoundScan, scans_below
from monai_attn.io.channels import Image, as_image, files_of
from monai_attn.io.dicom.series_path import folder_of
from monai_attn.io.errors import Faults
from monai_attn.io.file_kind import require_regular
from monai_attn.io.names import case_name, check_name


def find_images(
    source: str | Path, channels: Sequence[Any] | None = None, series: str | None = None
) -> list[str | list[str]]:
    """Find the scans to segment.

    Args:
        source: a NIfTI file, a folder with a DICOM series, a folder tree of either, a data set as
            `find_cases` takes it, or a JSON datalist. A datalist with several sections is read
            at the first of test, testing, validation and training that names a case; a data set with
            folders at `imagesTs` where it holds scans, else at `imagesTr` or `images`.
        channels: the channels of the network, as `read_channels` takes them. If there are several, files that
            are named after their channel are joined, see `join_channels`.
        series: the DICOM series to take from a folder tree, as for `scans_below`.

    Returns:
        Paths in the order of the datalist, or sorted; for a case whose channels are files of their own a list
        of paths.

    Raises:
        ValueError: as `named_images`.
    """
    _require(source, "a scan, or a folder with scans")
    names = [channel.name for channel in read_channels(channels)]
    return [
        [str(file) for file in image] if isinstance(image, tuple) else str(image)
        for image in named_images(source, names, series=series)
    ]


def named_images(
    source: str | Path,
    channels: Sequence[str] = (),
    *,
    series: str | None = None,
    pattern: str | None = None,
) -> dict[Image, str]:
    """Find the scans to segment, and the name of each case.

    Args:
        source: as for `find_images`.
        channels: the names of the network's channels.
        series: the DICOM series to take from a folder tree, as for `scans_below`.
        pattern: pattern for the names of DICOM series in a folder tree, as for `name_series`.

    Returns:
        The name of each scan, in the order of the datalist, or sorted.

    Raises:
        ValueError: if `source` does not exist, holds no scan, or holds two scans whose paths differ only in
            the suffix: their label maps would be one file; or as `scans_below` and `check_pattern`.
    """
    path = Path(source)
    if path.is_dir() or path.suffix == ".json":
        images, root, found = _images_of(path, series)
        if len(channels) > 1:
            images = join_channels(images, channels)
        return _named_once(images, root, found, pattern)
    if folder_of(path)[1] is None:
        if not path.exists():
            require_regular(path)
        check_name(path)
    return {path: case_name(path)}


def find_named(
    sources: Iterable[str | Path],
    channels: Sequence[str] = (),
    *,
    series: str | None = None,
    pattern: str | None = None,
) -> tuple[list[Image], dict[Image, str]]:
    """Find the scans of several sources, each as for `find_images`, in their order; and the name of each.

    Args:
        sources: the sources. Files that are named one by one are joined too, if there are several channels.
        channels: the names of the network's channels.
        series: as for `named_images`.
        pattern: as for `named_images`.

    Raises:
        ValueError: as `named_images`.
    """
    sources = list(sources)
    if not sources:
        raise ValueError("no scans are named. Give files or folders.")
    folders: list[Path] = []
    files: list[Path] = []
    for source in map(Path, sources):
        (folders if source.is_dir() or source.suffix == ".json" else files).append(source)
    find = partial(named_images, series=series, pattern=pattern)
    if len(channels) > 1:
        given = [image for file in files for image in named_images(file)]
        loose = {image: case_name(files_of(image)[0]) for image in join_channels(given, channels)}
        found = [loose, *(find(folder, channels) for folder in folders)]
    else:
        found = [find(source) for source in sources]
    scans = [scan for names in found for scan in names]
    joined = {scan: name for names in found for scan, name in names.items()}
    unique = len(set(joined.values())) == len(joined)
    return scans, joined if unique else scan_names(scans)


def find_cases(
    source: str | Path, labels: Sequence[str] = (), *, named_once: bool = False
) -> list[Case]:
    """Find the labelled cases of a data set: `{"image": ..., "label": ...}` for each.

    A case has its `group` or `patient` and its `fold` too, where a datalist gives them.

    Args:
        source: a Decathlon folder or a JSON datalist, read at its section `training`, or else at the first
            section that names a case; an nnU-Net raw folder (version 2); or a folder with `images` and
            `labels`, or `imagesTr` and `labelsTr`, see `layouts`; or TotalSegmentator's data set; or NIH's
            Pancreas-CT as it is downloaded.
        labels: the choice of classes; only a data set with a mask for each structure needs it.
        named_once: refuse two images whose paths differ only in the suffix, for use where label maps are
            written.

    Returns:
        Cases in the order of the datalist, or sorted by name.

    Raises:
        ValueError: if there is no data set, or it cannot be read.
        Faults: a line for each image without a label, label without an image, file that is missing, and
            image or label that two cases share.
    """
    _require(source, "a folder with labelled cases, or a datalist in JSON")
    path = Path(source)
    layout = find_layout(path)
    if layout:
        cases = layout_cases(layout)
    elif has_pancreas_ct(path):
        cases = pancreas_ct_cases(path)
    elif uses_masks(path):
        cases = mask_cases(path, labels)
    else:
        cases = _listed_cases(path)
    if named_once:
        _named_once([as_image(case["image"]) for case in cases])
    return cases


def _require(source: str | Path, content: str) -> None:
    """Refuse a folder, or another path without a suffix, that does not exist."""
    path = Path(source)
    if not path.suffix and not path.exists() and not path.is_symlink():
        raise ValueError(
            f"{path}: does not exist (expected {content}). Give the folder of your data; in a bundle's "
            "config it is dataset_dir."
        )


def _images_of(path: Path, series: str | None) -> tuple[list[Image], Path | None, list[FoundScan]]:
    """Return the images of a folder or a datalist; and of a tree also the folder, and the scans found."""
    listed = path.suffix == ".json" or (path / "dataset.json").is_file()
    if listed or not holds_scans(path):
        layout = find_layout(path)
        if layout:
            return layout_images(layout), None, []
    if listed:
        cases = next(iter(read_datalist(path).values()))
        return [as_image(case["image"]) for case in cases], None, []
    if has_pancreas_ct(path):
        return [*pancreas_ct_scans(path)], path, []
    found = scans_below(path, series)
    return [scan.path for scan in found], path, found


def _listed_cases(path: Path) -> list[Case]:
    if path.is_dir() and not (path / "dataset.json").is_file():
        raise ValueError(
            f"{path}: no data set (expected a dataset.json, or the folders imagesTr and labelsTr, or "
            "images and labels). Give the folder that holds them."
        )
    sections = read_datalist(path)
    cases = sections.get("training") or next(iter(sections.values()))
    check_listed(cases, path)
    return cases


def _named_once(
    images: list[Image],
    root: Path | None = None,
    found: Sequence[FoundScan] = (),
    pattern: str | None = None,
) -> dict[Image, str]:
    """Return the name of each image; refuse two of one name."""
    at = {scan.path: scan.place for scan in found}
    places = {image: at.get(files_of(image)[0], files_of(image)[0]) for image in images}
    by_place = scan_names([*places.values()], root)
    names = {image: by_place[place] for image, place in places.items()}
    if pattern is not None:
        check_pattern(pattern)
        names |= {scan.path: name_series(scan.series, pattern) for scan in found if scan.series}
    _, faults = by_name({files_of(image)[0]: name for image, name in names.items()})
    if faults:
        raise Faults(*faults)
    return names
