"""Names of files: suffixes of scans, names of cases, and paths of the files next to a label map."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

LABELS = (".nii.gz", ".nii")  # suffixes of a label map that is written
OTHERS = (".nrrd", ".mha", ".mhd", ".mgz", ".mgh")  # of scans and label maps that are only read
REFERENCES = (*LABELS, *OTHERS)  # suffixes of a label map that is read
SCANS = (*LABELS, ".hdr", ".img", *OTHERS)  # suffixes of a scan: one file, or a pair
ARCHIVE = ".zip"  # suffix of a scan that is packed with other files, and only given by its name
LONGEST = 255  # bytes in a file name, on nearly every file system
REPORT = "report.html"  # in a folder of label maps
MAP = re.compile(
    r"_(attention_\d+|entropy|probabilities|scene_image)$"
)  # a map next to a label map


def suffix(path: str | Path, known: tuple[str, ...] = SCANS) -> str:
    """Return the known suffix of a file's name, in its own letter case, or an empty text."""
    name = Path(path).name
    for end in known:
        if name.lower().endswith(end) and len(name) > len(end):
            return name[-len(end) :]
    return ""


def case_name(path: str | Path) -> str:
    """Return the name of a scan or label map: the file's without the suffix, or the DICOM folder's."""
    path = Path(path)
    end = suffix(path, (*SCANS, ARCHIVE))
    if end:
        return path.name[: -len(end)]
    return path.resolve().name if path.name in ("", "..") else path.name


def check_name(path: str | Path) -> None:
    """Refuse a file whose name is not that of a scan.

    Raises:
        ValueError: one line that names the file.
    """
    if Path(path).suffix.lower() in (".dcm", ".ima"):
        raise ValueError(
            f"{path}: a single DICOM file; give the folder that holds the whole series"
        )
    if not suffix(path, (*SCANS, ARCHIVE)):
        raise ValueError(
            f"{path}: a scan in NIfTI (.nii.gz or .nii), NRRD, MetaImage (.mha, .mhd) or MGZ is expected; "
            "convert it first"
        )


def labels_name(path: str | Path) -> str:
    """Return the name of a label map to be written, without the suffix.

    Raises:
        ValueError: if the name does not end in .nii.gz or .nii.
    """
    end = suffix(path, LABELS)
    if not end:
        raise ValueError(
            f"{path}: the name of a label map must end in .nii.gz or .nii; give another name"
        )
    return Path(path).name[: -len(end)]


def manifest_path(target: Path) -> Path:
    """Return the path of a label map's manifest: `NAME_seg.manifest.json` for `NAME_seg.nii.gz`."""
    return target.with_name(f"{labels_name(target)}.manifest.json")


def attention_path(target: Path, level: int) -> Path:
    """Return the path of a level's attention map, next to the label map: `NAME_attention_1.nii.gz`."""
    return _map_path(target, f"attention_{level}")


def entropy_path(target: Path) -> Path:
    """Return the path of the map of entropy, next to the label map: `NAME_entropy.nii.gz`."""
    return _map_path(target, "entropy")


def probabilities_path(target: Path) -> Path:
    """Return the path of the probabilities, next to the label map: `NAME_probabilities.nii.gz`."""
    return _map_path(target, "probabilities")


def _map_path(target: Path, kind: str) -> Path:
    name = labels_name(target).removesuffix("_seg")
    return target.with_name(f"{name}_{kind}{suffix(target, LABELS)}")


def dicom_seg_path(target: Path) -> Path:
    """Return the path of a label map's DICOM SEG: `NAME_seg.dcm` next to `NAME_seg.nii.gz`."""
    return target.with_name(f"{labels_name(target)}.dcm")


def real_path(path: Path) -> Path:
    """Return a path with links resolved; unlike `Path.resolve`, accept a loop of links."""
    return Path(os.path.realpath(path))


def map_paths(
    target: Path, levels: Iterable[int] = (), *, entropy: bool = False, probabilities: bool = False
) -> list[Path]:
    """Return the paths of the maps next to a label map: the attention of levels, and those asked for."""
    return [
        *(attention_path(target, level) for level in levels),
        *([entropy_path(target)] if entropy else []),
        *([probabilities_path(target)] if probabilities else []),
    ]


def check_length(target: Path, levels: Iterable[int] = (), **maps: bool) -> None:
    """Refuse a label map if its name, or that of a file next to it, would be too long.

    Args:
        target: the label map.
        levels: as for `map_paths`.
        maps: as for `map_paths`.

    Raises:
        ValueError: one line with the beginning of the longest name.
    """
    files = (target, manifest_path(target), *map_paths(target, levels, **maps))
    longest = max(files, key=lambda path: len(os.fsencode(path.name)))
    length = len(os.fsencode(longest.name))
    if length > LONGEST:
        raise ValueError(
            f"{target}: file name too long: {longest.name[:20]}... has {length} bytes (limit {LONGEST}); "
            "rename the scan"
        )
